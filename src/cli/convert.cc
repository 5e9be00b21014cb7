#include "runtime/convert.h"

#include <memory>
#include <string>

#include "cli/verbs.h"

namespace rebased {
namespace {

struct ConvertArguments {
  std::string model, weights, out;
};

}  // namespace

void add_convert(CommandLine& root) {
  CommandLine& verb = root.verb("convert", "write a model folder with its weights in fewer bits");
  auto arguments = std::make_shared<ConvertArguments>();
  verb.about(
      "The new folder holds the bytes that the kernels read: it is mapped and used in place, and answers as MODEL does "
      "with --weights TYPE. It cannot be trained further.");
  verb.add("MODEL", arguments->model, "", "model folder with whole weights");
  verb.add("--weights", arguments->weights, "TYPE", "bf16, int8 (a scale a row) or int4 (a scale for 32)");
  verb.add("--out", arguments->out, "FOLDER",
           "where to write; a model that is there is replaced, other files in its folder stay");
  verb.example("rebased convert model --weights int4 --out model-int4");
  verb.action([arguments] { convert_model(arguments->model, arguments->weights, arguments->out); });
}

}  // namespace rebased
