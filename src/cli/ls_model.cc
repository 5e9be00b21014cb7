#include <memory>
#include <string>

#include "base/error.h"
#include "cli/ls.h"
#include "config/document.h"
#include "engine/cpu/cpu_value.h"
#include "io/model_folder.h"
#include "io/standard_streams.h"
#include "record/score.h"
#include "record/table.h"
#include "runtime/loaded_model.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace {

struct LsModelArguments {
  std::string model;
  bool json = false;
};

struct Row {
  std::string name, shape;
  std::string_view type;
  int64_t bytes;
};

Row row_of(const Param& param) {
  const kernels::PackedMatrix* matrix = packed(param.value);
  return {param.spec.name, param.spec.shape.str(), matrix == nullptr ? "f32" : packing_name(matrix->packing),
          CpuEngine::bytes_held(param.value)};
}

void ls_model(const LsModelArguments& arguments) {
  const auto model = LoadedModel::open(arguments.model);
  Table table({{"parameter"}, {"shape"}, {"type"}, {"bytes", Align::kRight}});
  Json rows = Json::array();
  int64_t bytes = 0;
  for (const Param& param : model->model().parameters().params()) {
    const Row row = row_of(param);
    table.add_row({row.name, row.shape, std::string(row.type), fmt::format("{}", row.bytes)});
    rows.push_back({{"name", row.name}, {"shape", row.shape}, {"type", row.type}, {"bytes", row.bytes}});
    bytes += row.bytes;
  }
  const std::string weights(model->packing() ? packing_name(*model->packing()) : "f32");
  const auto evaluation = evaluation_in(open_model_folder(arguments.model).tensors.metadata());
  const int64_t count = model->model().parameters().trainable_count();
  if (arguments.json) {
    Json document{{"weights", weights}, {"parameters", count}, {"bytes", bytes}};
    if (evaluation) document.update({{"step", evaluation->step}, {evaluation->score.name, evaluation->score.value}});
    document["tensors"] = rows;
    return write_output(json_text(document, 2) + "\n");
  }
  const std::string of = evaluation ? ", of " + describe(*evaluation) : "";
  write_output(fmt::format("weights {}: {} parameters in {} bytes{}\n\n{}", weights, count, bytes, of, table.text()));
}

}  // namespace

void add_ls_model(CommandLine& ls) {
  CommandLine& verb = ls.verb("model", "the parameters of a model folder, with types and sizes");
  auto arguments = std::make_shared<LsModelArguments>();
  verb.add("MODEL", arguments->model, "", "model folder");
  verb.add("--json", arguments->json, "", "JSON instead of text");
  verb.example("rebased ls model model");
  verb.action([arguments] { ls_model(*arguments); });
}

}  // namespace rebased
