#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "io/file.h"
#include "io/temporary_folder.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

std::string file_bytes(std::string_view header, std::string_view data) {
  uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes.append(header).append(data);
}

SafetensorsFile parse(std::string_view bytes) {
  return SafetensorsFile::parse(std::as_bytes(std::span(bytes)), "m.safetensors");
}

void expect_refused(std::string_view header, size_t data_bytes, const std::string& message) {
  const std::string bytes = file_bytes(header, std::string(data_bytes, 'x'));
  EXPECT_THAT([&] { parse(bytes); }, ThrowsMessage<FormatError>(HasSubstr("m.safetensors: " + message))) << header;
}

std::string text_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()};
}

TEST(Safetensors, ReadsTensorsInAnyOrderOfTheHeader) {
  const std::string bytes = file_bytes(
      R"({"b":{"dtype":"I16","shape":[2],"data_offsets":[1,5]},"__metadata__":{"format":"pt","k":""},)"
      R"("a":{"shape":[],"data_offsets":[0,1],"dtype":"U8"},"none":{"dtype":"F64","shape":[3,0],"data_offsets":[5,5]}}   )",
      "Abbbb");
  const SafetensorsFile file = parse(bytes);
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("format", "pt"), Pair("k", "")));
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.at("a").shape, Shape{});
  EXPECT_EQ(text_of(file.at("a")), "A");
  EXPECT_EQ(file.at("b").dtype, DType::kI16);
  EXPECT_EQ(file.at("b").shape, Shape({2}));
  EXPECT_EQ(text_of(file.at("b")), "bbbb");
  EXPECT_EQ(file.at("none").shape, Shape({3, 0}));
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_EQ(file.find("a"), &file.at("a"));
}

TEST(Safetensors, AcceptsAFileWithoutTensors) { EXPECT_TRUE(parse(file_bytes("{}", "")).tensors().empty()); }

TEST(Safetensors, KnowsEveryDtype) {
  for (const char* name : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "U16", "I16", "F16", "BF16", "U32", "I32", "F32",
                           "U64", "I64", "F64"}) {
    DType found = DType::kF32;
    for (int i = 0; i < 15; ++i) {
      if (dtype_name(static_cast<DType>(i)) == name) found = static_cast<DType>(i);
    }
    const auto size = static_cast<size_t>(dtype_size(found));
    const std::string bytes =
        file_bytes(fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})", name, 3 * size),
                   std::string(3 * size, 1));
    EXPECT_EQ(parse(bytes).at("t").dtype, found) << name;
  }
}

TEST(Safetensors, MissingTensorsAreNamedWithTheNearestName) {
  const std::string bytes = file_bytes(R"({"model.norm.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  EXPECT_THAT([&] { parse(bytes).at("model.norm.wieght"); },
              ThrowsMessage<FormatError>(
                  HasSubstr("m.safetensors: no tensor 'model.norm.wieght' (did you mean 'model.norm.weight'?)")));
}

TEST(Safetensors, HeaderLengthIsChecked) {
  for (size_t size = 0; size < 8; ++size) {
    const std::string bytes(size, '\0');
    EXPECT_THAT([&] { parse(bytes); }, ThrowsMessage<FormatError>(HasSubstr("bytes are too few"))) << size;
  }
  for (const uint64_t length : {uint64_t{3}, uint64_t{1} << 32, std::numeric_limits<uint64_t>::max() - 7,
                                std::numeric_limits<uint64_t>::max()}) {
    std::string bytes = file_bytes("{}", "");
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_THAT([&] { parse(bytes); }, ThrowsMessage<FormatError>(HasSubstr("expected at most 2"))) << length;
  }
  std::string large(8 + 100'000'001, ' ');
  const uint64_t length = 100'000'001;
  std::memcpy(large.data(), &length, 8);
  EXPECT_THAT([&] { parse(large); }, ThrowsMessage<FormatError>(HasSubstr("expected at most 100000000")));
}

TEST(Safetensors, HeaderMustBeOneObject) {
  expect_refused("", 0, "the header does not start with '{'");
  expect_refused(" {}", 0, "the header does not start with '{'");
  expect_refused("[]", 0, "the header does not start with '{'");
  expect_refused("{", 0, "parse error");
  expect_refused("{} {}", 0, "parse error");
  expect_refused(std::string_view("{}\0", 3), 0, "parse error");
  expect_refused("{\"\xff\":1}", 0, "parse error");
  std::string deep = "{\"a\":";
  deep.append(100000, '[');
  expect_refused(deep, 0, "nested deeper than");
}

TEST(Safetensors, RepeatedKeysAreRefused) {
  expect_refused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
      "key 'a' stands twice");
  expect_refused(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
                 "key 'dtype' stands twice");
  expect_refused(R"({"__metadata__":{"a":"1","a":"2"}})", 0, "key 'a' stands twice");
}

TEST(Safetensors, MetadataHoldsStringsOnly) {
  expect_refused(R"({"__metadata__":[]})", 0, "__metadata__: expected an object of strings, found array");
  expect_refused(R"({"__metadata__":{"k":1}})", 0, "__metadata__: expected a string for 'k', found 1");
}

TEST(Safetensors, EntriesAreChecked) {
  const auto refused = [](const std::string& entry, const std::string& message) {
    expect_refused(R"({"w":)" + entry + "}", 8, "tensor 'w': " + message);
  };
  refused("1", "expected an object, found number");
  refused(R"({"shape":[1],"data_offsets":[0,8]})", "no 'dtype'");
  refused(R"({"dtype":"F64","data_offsets":[0,8]})", "no 'shape'");
  refused(R"({"dtype":"F64","shape":[1]})", "no 'data_offsets'");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":[0,8],"stride":[1]})", "unknown key 'stride'");
  refused(R"({"dtype":64,"shape":[1],"data_offsets":[0,8]})", "expected a string as dtype, found 64");
  refused(R"({"dtype":"F65","shape":[1],"data_offsets":[0,8]})", "unknown dtype 'F65' (did you mean 'F64'?)");
  refused(R"({"dtype":"f64","shape":[1],"data_offsets":[0,8]})", "unknown dtype 'f64'");
  refused(R"({"dtype":"F64","shape":8,"data_offsets":[0,8]})", "expected a list as shape, found number");
  refused(R"({"dtype":"F64","shape":[-1],"data_offsets":[0,8]})", "expected integers from 0 in shape, found -1");
  refused(R"({"dtype":"F64","shape":[1.0],"data_offsets":[0,8]})", "expected integers from 0 in shape, found 1.0");
  refused(R"({"dtype":"F64","shape":["1"],"data_offsets":[0,8]})", "expected integers from 0 in shape, found \"1\"");
  refused(R"({"dtype":"F64","shape":[1,1,1,1,1,1,1],"data_offsets":[0,8]})", "shape has 7 dimensions, at most 6");
  refused(R"({"dtype":"F64","shape":[9223372036854775808],"data_offsets":[0,8]})",
          "extent 9223372036854775808 does not fit");
  refused(R"({"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,8]})",
          "shape [4294967296, 4294967296] overflows");
  refused(R"({"dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]})",
          "shape [2305843009213693953] overflows");
  refused(R"({"dtype":"F64","shape":[4294967296,4294967296,0],"data_offsets":[0,0]})", "shape");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":8})", "expected a list as data_offsets, found number");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":[8]})", "expected 2 data_offsets, found 1");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":[0,4,8]})", "expected 2 data_offsets, found 3");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":[0,-8]})", "expected integers from 0 in data_offsets, found -8");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":[8,0]})", "data_offsets [8, 0] do not lie inside the 8 bytes");
  refused(R"({"dtype":"F64","shape":[1],"data_offsets":[1,9]})", "data_offsets [1, 9] do not lie inside the 8 bytes");
  refused(R"({"dtype":"F64","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]})", "data_offsets");
  refused(R"({"dtype":"F64","shape":[2],"data_offsets":[0,8]})",
          "data_offsets [0, 8] hold 8 bytes, but shape [2] of F64 needs 16");
  refused(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})",
          "data_offsets [0, 8] hold 8 bytes, but shape [1] of F32 needs 4");
}

TEST(Safetensors, DataIsCoveredWithoutHolesOrOverlaps) {
  const auto header = [](int a, int b, int c, int d) {
    return fmt::format(R"({{"a":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}},"b":{{"dtype":"U8","shape":[{}],)"
                       R"("data_offsets":[{},{}]}}}})",
                       b - a, a, b, d - c, c, d);
  };
  EXPECT_NO_THROW(parse(file_bytes(header(0, 4, 4, 8), "12345678")));
  EXPECT_NO_THROW(parse(file_bytes(header(4, 8, 0, 4), "12345678")));
  EXPECT_NO_THROW(parse(file_bytes(header(0, 0, 0, 8), "12345678")));  // nothing before something, at one place
  EXPECT_NO_THROW(parse(file_bytes(header(0, 8, 0, 0), "12345678")));
  expect_refused(header(0, 4, 5, 8), 8, "tensor 'b' starts at byte 5 of the data, expected 4: a hole");
  expect_refused(header(1, 4, 4, 8), 8, "tensor 'a' starts at byte 1 of the data, expected 0: a hole");
  expect_refused(header(0, 5, 4, 8), 8, "tensor 'b' starts at byte 4 of the data, expected 5: an overlap");
  expect_refused(header(0, 8, 0, 8), 8, "tensor 'b' starts at byte 0 of the data, expected 8: an overlap");
  expect_refused(header(0, 4, 4, 8), 9, "the tensors cover 8 of 9 bytes");
  expect_refused("{}", 1, "the tensors cover 0 of 1 bytes");
}

struct Sample {
  std::vector<float> f = {1.5f, -2, 3e30f, 0, 5, 6};
  std::vector<uint16_t> h = {f32_to_bf16(1.25f), f32_to_bf16(-7)};
  std::vector<uint8_t> bytes = {1, 2, 3};
  std::vector<double> d = {0.1};
  std::vector<TensorToWrite> tensors() const {
    return {{"bytes", DType::kU8, {3}, bytes.data()}, {"f", DType::kF32, {2, 3}, f.data()},
            {"half", DType::kBF16, {2, 1}, h.data()}, {"d", DType::kF64, {}, d.data()},
            {"empty", DType::kI64, {0, 4}, nullptr},  {"a \"name\"\n\xc3\xa9", DType::kBool, {1}, bytes.data()}};
  }
};

TEST(SafetensorsWriting, ReadsBackAlignedAndConverted) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "m", sample.tensors(), {{"format", "pt"}, {"note", "x\ny"}});
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("format", "pt"), Pair("note", "x\ny")));
  EXPECT_EQ(file.tensors().size(), 6u);
  for (const TensorToWrite& tensor : sample.tensors()) {
    const TensorView& view = file.at(tensor.name);
    EXPECT_EQ(view.dtype, tensor.dtype);
    EXPECT_EQ(view.shape, tensor.shape);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data.data()) % static_cast<uintptr_t>(dtype_size(view.dtype)), 0u);
  }
  EXPECT_EQ(read_f32(file.at("f")), sample.f);
  EXPECT_THAT(read_f32(file.at("half")), ElementsAre(1.25f, -7));
  EXPECT_THAT(read_f32(file.at("bytes")), ElementsAre(1, 2, 3));
  EXPECT_THAT(read_f32(file.at("d")), ElementsAre(0.1f));
  EXPECT_THAT(read_f32(file.at("empty")), ElementsAre());
  EXPECT_THAT(folder.names(), ElementsAre("m"));
}

TEST(SafetensorsWriting, BytesDoNotDependOnTheOrder) {
  const TemporaryFolder folder;
  const Sample sample;
  std::vector<TensorToWrite> tensors = sample.tensors();
  write_safetensors(folder / "a", tensors, {{"k", "v"}, {"j", "w"}});
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder / "b", tensors, {{"j", "w"}, {"k", "v"}});
  EXPECT_EQ(read_file(folder / "a"), read_file(folder / "b"));
  write_safetensors(folder / "c", {});
  EXPECT_EQ(read_file(folder / "c"), file_bytes("{}" + std::string(64 - 8 - 2, ' '), ""));
}

TEST(SafetensorsWriting, RefusesWhatItCouldNotReadAndWritesNothing) {
  const TemporaryFolder folder;
  const std::vector<float> x = {1, 2};
  const auto write = [&](std::vector<TensorToWrite> tensors, std::map<std::string, std::string> metadata = {}) {
    write_safetensors(folder / "m", tensors, metadata);
  };
  const TensorToWrite good = {"a", DType::kF32, {2}, x.data()};
  EXPECT_THROW(write({good, good}), FormatError);
  EXPECT_THROW(write({{"__metadata__", DType::kF32, {2}, x.data()}}), FormatError);
  EXPECT_THROW(write({{"\xff", DType::kF32, {2}, x.data()}}), FormatError);
  EXPECT_THROW(write({good}, {{"k", "\xff"}}), FormatError);
  EXPECT_THROW(write({{"a", DType::kF32, {-2}, x.data()}}), ShapeError);
  EXPECT_THROW(write({{"a", DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}, x.data()}}), ShapeError);
  EXPECT_THROW(write_safetensors(folder / "no/m", {&good, 1}), IoError);
  EXPECT_THAT(folder.names(), ElementsAre());
}

TEST(Safetensors, ViewsOutliveTheReaderAndTheFile) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "m", sample.tensors());
  const TensorView view = SafetensorsFile::open(folder / "m").at("f");
  std::filesystem::remove(folder / "m");
  EXPECT_EQ(read_f32(view), sample.f);
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  write_safetensors(folder / "m", Sample().tensors(), {{"format", "pt"}});
  const std::string bytes = read_file(folder / "m");
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(parse({cut.data(), cut.size()}), FormatError) << size;
  }
  EXPECT_THROW(parse(bytes + "x"), FormatError);
  EXPECT_NO_THROW(parse(bytes));
}

TEST(Safetensors, AnyChangedByteIsRefusedOrStaysInBounds) {
  const TemporaryFolder folder;
  write_safetensors(folder / "m", Sample().tensors(), {{"format", "pt"}});
  const std::string good = read_file(folder / "m");
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char flip : {'\x01', '\x10', '\x80'}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      try {
        size_t total = 0;
        const SafetensorsFile file = parse(bytes);
        for (const auto& [name, tensor] : file.tensors()) total += tensor.data.size();
        EXPECT_LT(total, good.size());
      } catch (const FormatError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(ReadF32, RefusesEightBitFloats) {
  const std::string bytes = file_bytes(R"({"t":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "x");
  EXPECT_THROW(read_f32(parse(bytes).at("t")), FormatError);
}

}  // namespace
}  // namespace rebased
