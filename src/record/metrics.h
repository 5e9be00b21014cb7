#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace rebased {

// Appends one JSON object a line to metrics.jsonl, flushed line by line:
//   {"step":120,"epoch":0.75,"time":31.208,"loss":2.31,"accuracy":0.42}
// `time` is in seconds since the run began and goes on from the last line kept when a run is resumed. A number that is
// not finite is written as null, its key kept.
class MetricsWriter {
 public:
  using Clock = std::function<double()>;  // seconds, from any origin

  // Starts the file or goes on with it. A last line torn by a crash is removed; with `resume_step`, so are the lines of
  // later steps, so that the resumed run's file equals an uninterrupted one's but for the times: save a checkpoint
  // after the lines of its step are written. Both happen by replacing the file at once. A null clock is the steady
  // clock. Throws FormatError (file:line) when a whole line is not a record, IoError when the file cannot be written.
  explicit MetricsWriter(const std::filesystem::path& path, std::optional<int64_t> resume_step = {}, Clock clock = {});

  // values: an object, {{"loss", 2.31}, {"accuracy", 0.42}}. Throws ConfigError when it is none or holds one of the
  // keys above, IoError when the disk refuses the line.
  void write(int64_t step, double epoch, const nlohmann::ordered_json& values);

 private:
  std::filesystem::path path_;
  Clock clock_;
  double zero_ = 0;  // what the clock said, or would have said, when the run began
  std::ofstream file_;
};

// The records in file order, each an object with an integer "step". A last line torn by a crash is left out; throws
// FormatError "FILE:LINE: ..." for any other line that is not a record, IoError when the file cannot be read.
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& path);

// The points (record[x_key], record[y_key]) of the records that have both keys; null is NaN. Values that are neither
// number nor null are left out.
struct MetricPoints {
  std::vector<double> x, y;
};
MetricPoints metric_points(const std::vector<nlohmann::ordered_json>& records, std::string_view x_key,
                           std::string_view y_key);

}  // namespace rebased
