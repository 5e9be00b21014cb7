#include "record/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "base/error.h"
#include "record/temp_folder.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;

// An independent reader. CRC-32C bit by bit, from the polynomial.
uint32_t slow_crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool feedback = ((crc ^ (static_cast<unsigned char>(c) >> bit)) & 1) != 0;
      crc = (crc >> 1) ^ (feedback ? 0x82f63b78u : 0u);
    }
  }
  return ~crc;
}

template <class T>
T unpack(const std::string& bytes, size_t at = 0) {
  T value{};
  EXPECT_LE(at + sizeof(T), bytes.size());
  if (at + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof(T));  // both little-endian
  return value;
}

// The events of a file, every length and CRC checked.
std::vector<std::string> read_records(const std::filesystem::path& path) {
  const std::string file = get_file(path);
  const auto masked = [](const std::string& bytes) {
    const uint32_t crc = slow_crc32c(bytes);
    return static_cast<uint32_t>(((crc >> 15) | (crc << 17)) + 0xa282ead8u);
  };
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = unpack<uint64_t>(file, at);
    EXPECT_EQ(unpack<uint32_t>(file, at + 8), masked(file.substr(at, 8)));
    EXPECT_LE(at + 16 + length, file.size());
    records.push_back(file.substr(at + 12, length));
    EXPECT_EQ(unpack<uint32_t>(file, at + 12 + length), masked(records.back()));
    at += 16 + length;
  }
  return records;
}

// The fields of a protocol buffer message: number -> raw bytes (varints as eight bytes).
std::multimap<int, std::string> parse(const std::string& message) {
  std::multimap<int, std::string> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; at < message.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.size()) {
    const uint64_t key = varint();
    const auto wire = key & 7;
    std::string value;
    if (wire == 0) {
      const uint64_t number = varint();
      value.assign(reinterpret_cast<const char*>(&number), sizeof(number));
    } else {
      const uint64_t length = wire == 1 ? 8 : wire == 5 ? 4 : varint();
      EXPECT_LE(at + length, message.size());
      value = message.substr(at, length);
      at += length;
    }
    fields.emplace(static_cast<int>(key >> 3), value);
  }
  return fields;
}

std::string field(const std::string& message, int number) {
  const auto fields = parse(message);
  EXPECT_EQ(fields.count(number), 1u) << "field " << number;
  const auto found = fields.find(number);
  return found == fields.end() ? "" : found->second;
}

std::vector<double> packed(const std::string& bytes) {
  std::vector<double> values;
  for (size_t at = 0; at < bytes.size(); at += 8) values.push_back(unpack<double>(bytes, at));
  return values;
}

// Event.summary.value of record `index`.
std::string value_of(const EventWriter& writer, size_t index) {
  return field(field(read_records(writer.path()).at(index), 5), 1);
}

EventWriter::Clock at_time(double seconds) {
  return [seconds] { return seconds; };
}

TEST(Crc32c, MatchesPublishedVectors) {  // RFC 3720, B.4, and the catalogue's check value
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST(EventWriter, StartsWithItsVersion) {
  TempFolder folder;
  const EventWriter writer(folder.path(), {}, at_time(1700000000.5));
  EXPECT_EQ(writer.path(), folder / "events.out.tfevents.1700000000.rebased");
  const auto records = read_records(writer.path());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(field(records[0], 3), "brain.Event:2");
  EXPECT_EQ(unpack<double>(field(records[0], 1)), 1700000000.5);
}

TEST(EventWriter, NeverWritesOverAnEarlierFile) {
  TempFolder folder;
  EventWriter first(folder.path(), {}, at_time(5)), second(folder.path(), {}, at_time(5));
  EventWriter third(folder.path(), {}, at_time(5));
  EXPECT_EQ(second.path(), folder / "events.out.tfevents.5.rebased.1");
  EXPECT_EQ(third.path(), folder / "events.out.tfevents.5.rebased.2");
}

TEST(EventWriter, WritesScalars) {
  TempFolder folder;
  EventWriter writer(folder.path());
  writer.scalar("train/loss", 300, 2.5);
  writer.scalar("train/loss", int64_t{1} << 40, std::numeric_limits<double>::quiet_NaN());
  const auto records = read_records(writer.path());
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(unpack<int64_t>(field(records[1], 2)), 300);
  EXPECT_EQ(unpack<int64_t>(field(records[2], 2)), int64_t{1} << 40);
  EXPECT_EQ(field(value_of(writer, 1), 1), "train/loss");
  EXPECT_EQ(unpack<float>(field(value_of(writer, 1), 2)), 2.5f);
  EXPECT_TRUE(std::isnan(unpack<float>(field(value_of(writer, 2), 2))));
}

TEST(EventWriter, WritesHistogramsOfWhatIsFinite) {
  TempFolder folder;
  EventWriter writer(folder.path());
  const std::vector<float> values = {-1, 0, 0, 3, NAN, INFINITY};
  EXPECT_EQ(writer.histogram("w", 9, values), 2);
  const std::string histogram = field(value_of(writer, 1), 5);
  EXPECT_EQ(unpack<double>(field(histogram, 1)), -1);
  EXPECT_EQ(unpack<double>(field(histogram, 2)), 3);
  EXPECT_EQ(unpack<double>(field(histogram, 3)), 4);
  EXPECT_EQ(unpack<double>(field(histogram, 4)), 2);
  EXPECT_EQ(unpack<double>(field(histogram, 5)), 10);
  const auto limits = packed(field(histogram, 6)), counts = packed(field(histogram, 7));
  ASSERT_EQ(limits.size(), 64u);
  ASSERT_EQ(counts.size(), 64u);
  EXPECT_EQ(limits[63], 3);
  EXPECT_EQ(counts[0], 1);
  EXPECT_EQ(counts[16], 2);  // 0 lies a quarter of the way up
  EXPECT_EQ(counts[63], 1);
}

TEST(EventWriter, HistogramOfEqualValuesHasOneBucketAndOfNoneIsLeftOut) {
  TempFolder folder;
  EventWriter writer(folder.path());
  EXPECT_EQ(writer.histogram("w", 1, std::vector<float>{2, 2, 2}), 0);
  const std::string histogram = field(value_of(writer, 1), 5);
  EXPECT_THAT(packed(field(histogram, 6)), ElementsAre(2));
  EXPECT_THAT(packed(field(histogram, 7)), ElementsAre(3));
  EXPECT_EQ(writer.histogram("w", 2, std::vector<float>{NAN}), 1);
  EXPECT_EQ(writer.histogram("w", 3, {}), 0);
  EXPECT_EQ(read_records(writer.path()).size(), 2u);
}

TEST(EventWriter, WritesTextForTheTextPlugin) {
  TempFolder folder;
  EventWriter writer(folder.path());
  const std::string recipe = std::string(300, 'x') + "\n[model]\n";  // longer than one byte of length
  writer.text("recipe", 0, recipe);
  const std::string value = value_of(writer, 1);
  EXPECT_EQ(field(value, 1), "recipe");
  EXPECT_EQ(field(field(field(value, 9), 1), 1), "text");
  EXPECT_EQ(unpack<uint64_t>(field(field(value, 8), 1)), 7u);  // DT_STRING
  EXPECT_EQ(field(field(value, 8), 8), recipe);
}

TEST(EventWriter, ResumeForgetsLaterSteps) {
  TempFolder folder;
  const EventWriter writer(folder.path(), 120);
  const auto records = read_records(writer.path());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(unpack<int64_t>(field(records[1], 2)), 121);
  EXPECT_EQ(unpack<uint64_t>(field(field(records[1], 7), 1)), 1u);  // SessionLog.START
}

TEST(EventWriter, SaysWhenTheFolderIsAbsent) {
  TempFolder folder;
  EXPECT_THROW(EventWriter(folder / "absent"), IoError);
}

}  // namespace
}  // namespace rebased
