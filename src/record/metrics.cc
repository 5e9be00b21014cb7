#include "record/metrics.h"

#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "config/options.h"
#include "io/file.h"
#include "record/text.h"

namespace rebased {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Line {
  std::string text;
  Json record;
};

bool is_record(const Json& value) {
  return value.is_object() && value.contains("step") && value["step"].is_number_integer();
}

std::vector<Line> read_lines(const std::filesystem::path& path) {
  const std::string text = read_file(path.string());
  std::vector<Line> lines;
  size_t begin = 0;
  for (int number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    const bool ended = end != std::string::npos;
    std::string line = text.substr(begin, ended ? end - begin : end);
    begin = ended ? end + 1 : text.size();
    Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (is_record(record)) {
      lines.push_back({std::move(line), std::move(record)});
    } else if (ended) {
      throw FormatError("{}:{}: expected a JSON object with an integer \"step\", found \"{}\"", path.string(), number,
                        fit_text(line, 60));
    }
  }
  return lines;
}

// Leaves in the file what a resumed run goes on from; returns the time of its last line, 0 without one.
double keep_lines(const std::filesystem::path& path, std::optional<int64_t> resume_step) {
  std::string kept;
  double time = 0;
  for (const Line& line : read_lines(path)) {
    if (resume_step && line.record["step"].get<int64_t>() > *resume_step) continue;
    kept += line.text + "\n";
    if (line.record.contains("time") && line.record["time"].is_number()) time = line.record["time"].get<double>();
  }
  if (kept.size() != std::filesystem::file_size(path)) write_file_atomic(path.string(), kept);
  return time;
}

}  // namespace

MetricsWriter::MetricsWriter(const std::filesystem::path& path, std::optional<int64_t> resume_step, Clock clock)
    : path_(path), clock_(clock ? std::move(clock) : Clock(steady_seconds)) {
  const double resumed_time = std::filesystem::exists(path) ? keep_lines(path, resume_step) : 0;
  zero_ = clock_() - resumed_time;
  file_.open(path, std::ios::app | std::ios::binary);
  if (!file_) throw IoError("{}: cannot be opened for writing", path.string());
}

void MetricsWriter::write(int64_t step, double epoch, const Json& values) {
  if (!values.is_object()) throw ConfigError("metrics: expected an object of values, found {}", values.type_name());
  const double milliseconds = std::round((clock_() - zero_) * 1e3);
  Json record = {{"step", step}, {"epoch", epoch}, {"time", milliseconds / 1e3}};
  for (const auto& [key, value] : values.items()) {
    if (record.contains(key)) throw ConfigError("metrics: the key \"{}\" was given twice or is the writer's own", key);
    record[key] = value;
  }
  file_ << json_text(record) << '\n' << std::flush;
  if (!file_) throw IoError("{}: the line of step {} cannot be written", path_.string(), step);
}

std::vector<Json> read_metrics(const std::filesystem::path& path) {
  std::vector<Json> records;
  for (Line& line : read_lines(path)) records.push_back(std::move(line.record));
  return records;
}

MetricPoints metric_points(const std::vector<Json>& records, std::string_view x_key, std::string_view y_key) {
  const auto usable = [](const Json& value) { return value.is_number() || value.is_null(); };
  const auto number = [](const Json& value) {
    return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
  };
  MetricPoints points;
  for (const Json& record : records) {
    const auto x = record.find(x_key), y = record.find(y_key);
    if (x == record.end() || y == record.end() || !usable(*x) || !usable(*y)) continue;
    points.x.push_back(number(*x));
    points.y.push_back(number(*y));
  }
  return points;
}

}  // namespace rebased
