#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rebased {

// CRC-32C (Castagnoli, RFC 3720): crc32c("123456789") == 0xE3069283.
uint32_t crc32c(std::string_view bytes);

// Writes what TensorBoard reads: FOLDER/events.out.tfevents.<unix seconds>.rebased, TFRecords of Event messages.
// Format: tensorflow/core/{lib/io/record_writer.cc, util/event.proto, framework/summary.proto}, version
// "brain.Event:2". Every record is handed to the operating system before the call returns. All throw IoError when the
// disk refuses.
class EventWriter {
 public:
  using Clock = std::function<double()>;  // seconds since 1970

  // Starts a new file; the folder must exist. With `resume_step`, TensorBoard is told to forget what earlier files of
  // the folder hold of later steps. A null clock is the system's.
  explicit EventWriter(const std::filesystem::path& folder, std::optional<int64_t> resume_step = {}, Clock clock = {});

  void scalar(std::string_view tag, int64_t step, double value);  // stored as f32

  // Distribution of the values, in equal buckets between the least and the greatest. Values that are not finite are
  // left out; returns how many. Nothing is written when none remains.
  int64_t histogram(std::string_view tag, int64_t step, std::span<const float> values);

  // Shown as Markdown.
  void text(std::string_view tag, int64_t step, std::string_view markdown);

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_event(int64_t step, std::string_view payload);

  std::filesystem::path path_;
  Clock clock_;
  std::ofstream file_;
};

}  // namespace rebased
