#include "record/tensorboard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace rebased {
namespace {

constexpr int kBuckets = 64;

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);  // reflected polynomial
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

// A CRC stored beside the data it covers is masked, so that a CRC over both stays meaningful.
uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

template <class T>
void append_little_endian(std::string& bytes, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
}

// A protocol buffer message under construction. Field numbers are those of the .proto files named in the header.
class Message {
 public:
  Message& integer(int field, uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& real(int field, double value) {
    key(field, 1);
    append_little_endian(bytes_, std::bit_cast<uint64_t>(value));
    return *this;
  }
  Message& real32(int field, float value) {
    key(field, 5);
    append_little_endian(bytes_, std::bit_cast<uint32_t>(value));
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.bytes_); }
  Message& reals(int field, const std::vector<double>& values) {
    std::string packed;
    for (double value : values) append_little_endian(packed, std::bit_cast<uint64_t>(value));
    return bytes(field, packed);
  }
  const std::string& str() const { return bytes_; }

 private:
  void key(int field, unsigned wire_type) { varint(static_cast<unsigned>(field) << 3 | wire_type); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Event.summary with one value.
std::string summary(const Message& value) { return Message().message(5, Message().message(1, value)).str(); }

// HistogramProto of finite values, at least one.
Message histogram_message(const std::vector<double>& values) {
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  const double low = *least, high = *greatest;
  const int buckets = high > low ? kBuckets : 1;
  std::vector<double> counts(static_cast<size_t>(buckets)), limits(counts.size());
  for (int i = 0; i < buckets; ++i) limits[static_cast<size_t>(i)] = low + (high - low) * (i + 1) / buckets;
  double sum = 0, squares = 0;
  for (double value : values) {
    const int bucket = high > low ? static_cast<int>((value - low) / (high - low) * buckets) : 0;
    ++counts[static_cast<size_t>(std::min(bucket, buckets - 1))];
    sum += value;
    squares += value * value;
  }
  Message message;
  message.real(1, low).real(2, high).real(3, static_cast<double>(values.size())).real(4, sum).real(5, squares);
  return message.reals(6, limits).reals(7, counts);
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

EventWriter::EventWriter(const std::filesystem::path& folder, std::optional<int64_t> resume_step, Clock clock)
    : clock_(clock ? std::move(clock) : Clock(seconds_since_1970)) {
  const std::string stem = fmt::format("events.out.tfevents.{}.rebased", static_cast<int64_t>(clock_()));
  path_ = folder / stem;
  for (int i = 1; std::filesystem::exists(path_); ++i) path_ = folder / fmt::format("{}.{}", stem, i);
  file_.open(path_, std::ios::binary);
  if (!file_) throw IoError("{}: cannot be opened for writing", path_.string());
  write_event(0, Message().bytes(3, "brain.Event:2").str());
  if (resume_step) {
    constexpr int kStart = 1;  // SessionLog.START: events of earlier files from this step on are forgotten
    write_event(*resume_step + 1, Message().message(7, Message().integer(1, kStart)).str());
  }
}

void EventWriter::scalar(std::string_view tag, int64_t step, double value) {
  write_event(step, summary(Message().bytes(1, tag).real32(2, static_cast<float>(value))));
}

int64_t EventWriter::histogram(std::string_view tag, int64_t step, std::span<const float> values) {
  std::vector<double> finite;
  finite.reserve(values.size());
  for (float value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (!finite.empty()) write_event(step, summary(Message().bytes(1, tag).message(5, histogram_message(finite))));
  return static_cast<int64_t>(values.size() - finite.size());
}

void EventWriter::text(std::string_view tag, int64_t step, std::string_view markdown) {
  constexpr int kString = 7;  // DT_STRING
  const Message shape = Message().message(2, Message().integer(1, 1));
  const Message tensor = Message().integer(1, kString).message(2, shape).bytes(8, markdown);
  const Message metadata = Message().message(1, Message().bytes(1, "text"));  // the plugin that shows it
  write_event(step, summary(Message().bytes(1, tag).message(9, metadata).message(8, tensor)));
}

void EventWriter::write_event(int64_t step, std::string_view payload) {
  std::string event = Message().real(1, clock_()).integer(2, static_cast<uint64_t>(step)).str();
  event += payload;
  std::string record;
  append_little_endian(record, uint64_t{event.size()});
  append_little_endian(record, masked_crc(record));
  record += event;
  append_little_endian(record, masked_crc(event));
  file_ << record << std::flush;
  if (!file_) throw IoError("{}: the record of step {} cannot be written", path_.string(), step);
}

}  // namespace rebased
