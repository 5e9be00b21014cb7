#include "config/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::StrEq;
using ::testing::ThrowsMessage;

struct Inner {
  double rate = 0.5;
  std::string mode = "fast";
  template <class V>
  void visit(V& v) {
    v("rate", rate, "a rate", between(0, 1));
    v("mode", mode, "a mode", one_of({"fast", "slow"}));
  }
};

struct Sample {
  int64_t num_heads = 12;
  uint64_t seed = 7;
  int64_t whole = 0;
  int32_t small = 3;
  bool normalize = true;
  double eps = 1e-12;
  double step = 1;
  std::string norm = "joint";
  std::vector<int64_t> sizes;
  std::vector<std::string> names = {"a"};
  std::vector<bool> flags;
  std::vector<std::vector<double>> grid;
  std::optional<int64_t> window;
  std::optional<Inner> maybe;
  Inner nested;
  std::vector<Inner> list;
  Json raw;
  template <class V>
  void visit(V& v) {
    v("num_heads", num_heads, "number of heads", between(1, 64));
    v("seed", seed, "", any_value<uint64_t>());
    v("whole", whole, "", any_value<int64_t>());
    v("small", small, "", any_value<int32_t>());
    v("normalize", normalize, "");
    v("eps", eps, "", number_from_zero());
    v("step", step, "", positive_number());
    v("norm", norm, "normalisation", one_of({"joint", "per_head", "none"}));
    v("sizes", sizes, "", between(1, 8));
    v("names", names, "", one_of({"a", "b"}));
    v("flags", flags, "");
    v("grid", grid, "", any_value<double>());
    v("window", window, "", between(1, 0x1p53));
    v("maybe", maybe, "");
    v("nested", nested, "");
    v("list", list, "");
    v("raw", raw, "");
  }
};

const Json kEveryField = Json::parse(R"({"num_heads": 5, "seed": 18446744073709551615, "whole": -9223372036854775808,
  "small": -4, "normalize": false,
  "eps": 0.001, "step": 2.5, "norm": "per_head", "sizes": [1, 8], "names": ["b", "a"], "flags": [true, false],
  "grid": [[1.5], [], [2.5, -3.0]], "window": 64, "maybe": {"rate": 1.0, "mode": "slow"},
  "nested": {"rate": 0.25, "mode": "slow"}, "list": [{"rate": 0.125, "mode": "fast"}, {"rate": 0.0, "mode": "slow"}],
  "raw": {"z": [1, null], "a": "x"}})");

Sample sample_from(const char* text) { return options_from_json<Sample>(Json::parse(text), "recipe.toml: model"); }

void expect_refused(const char* text, const char* message) {
  EXPECT_THAT([&] { sample_from(text); }, ThrowsMessage<ConfigError>(StrEq(message))) << text;
}

TEST(Options, EveryFieldIsReadAndWrittenBack) {
  const auto options = options_from_json<Sample>(kEveryField, "");
  EXPECT_EQ(options.num_heads, 5);
  EXPECT_EQ(options.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(options.whole, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(options.small, -4);
  EXPECT_FALSE(options.normalize);
  EXPECT_EQ(options.eps, 0.001);
  EXPECT_EQ(options.norm, "per_head");
  EXPECT_THAT(options.sizes, ElementsAre(1, 8));
  EXPECT_THAT(options.names, ElementsAre("b", "a"));
  EXPECT_THAT(options.flags, ElementsAre(true, false));
  EXPECT_EQ(options.grid, (std::vector<std::vector<double>>{{1.5}, {}, {2.5, -3}}));
  EXPECT_EQ(options.window, 64);
  EXPECT_EQ(options.maybe->mode, "slow");
  EXPECT_EQ(options.nested.rate, 0.25);
  EXPECT_EQ(options.list.at(1).mode, "slow");
  EXPECT_EQ(options_to_json(options).dump(), kEveryField.dump());
}

TEST(Options, DefaultsFillWhatIsLeftOut) {
  const Json defaults = options_to_json(sample_from("{}"));
  EXPECT_EQ(defaults.dump(), options_to_json(Sample()).dump());
  EXPECT_EQ(defaults.size(), kEveryField.size());
  EXPECT_TRUE(defaults["window"].is_null());
  EXPECT_EQ(options_to_json(options_from_json<Sample>(defaults, "")).dump(), defaults.dump());
  EXPECT_EQ(sample_from(R"({"window": null})").window, std::nullopt);
  EXPECT_EQ(sample_from(R"({"nested": {"mode": "slow"}})").nested.rate, 0.5);
  EXPECT_TRUE(sample_from(R"({"names": []})").names.empty());  // a list replaces its default
}

TEST(Options, TextThatIsNotUtf8IsRefusedAndCanBeShown) {
  Json doc;
  doc["norm"] = "caf\xe9";
  EXPECT_THAT([&] { options_from_json<Sample>(doc, "f"); },
              ThrowsMessage<ConfigError>(StrEq("f: norm: expected UTF-8 text, found 'caf\xe9'")));
  doc["norm"] = "per_head";
  doc["names"] = {"a", "\xff"};
  EXPECT_THAT([&] { options_from_json<Sample>(doc, "f"); },
              ThrowsMessage<ConfigError>(::testing::HasSubstr("names.1")));
  EXPECT_EQ(json_text(doc), "{\"norm\":\"per_head\",\"names\":[\"a\",\"\uFFFD\"]}");
  EXPECT_EQ(json_text(Json{{"caf\xe9", 1}}), "{\"caf\uFFFD\":1}");
  EXPECT_EQ(json_text(Json{1}, 2), "[\n  1\n]");
}

TEST(Options, NumbersChangeTypeOnlyWithoutLoss) {
  EXPECT_EQ(sample_from(R"({"num_heads": 12.0})").num_heads, 12);
  EXPECT_EQ(sample_from(R"({"seed": 12.0})").seed, 12u);
  EXPECT_EQ(sample_from(R"({"step": 3})").step, 3.0);
  EXPECT_EQ(sample_from(R"({"whole": 9223372036854775807})").whole, std::numeric_limits<int64_t>::max());
  expect_refused(R"({"num_heads": 12.5})", "recipe.toml: model.num_heads: expected an integer, found 12.5");
  expect_refused(R"({"num_heads": 9223372036854775808})",
                 "recipe.toml: model.num_heads: expected an integer, found 9223372036854775808");
  expect_refused(R"({"num_heads": 1e19})", "recipe.toml: model.num_heads: expected an integer, found 1e+19");
  expect_refused(R"({"small": 2147483648})", "recipe.toml: model.small: expected an integer, found 2147483648");
  expect_refused(R"({"seed": -1})", "recipe.toml: model.seed: expected an integer that is not negative, found -1");
  expect_refused(R"({"seed": -1.0})", "recipe.toml: model.seed: expected an integer that is not negative, found -1.0");
}

TEST(Options, NumbersThatAreNotFiniteAreRefused) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Json doc;
    doc["eps"] = bad;
    EXPECT_THROW(options_from_json<Sample>(doc, "f"), ConfigError);
    Json integer;
    integer["num_heads"] = bad;
    EXPECT_THROW(options_from_json<Sample>(integer, "f"), ConfigError);
  }
}

TEST(Options, WrongTypesNameThePathAndWhatWasFound) {
  expect_refused(R"({"num_heads": "4"})", "recipe.toml: model.num_heads: expected an integer, found '4'");
  expect_refused(R"({"num_heads": true})", "recipe.toml: model.num_heads: expected an integer, found true");
  expect_refused(R"({"num_heads": null})", "recipe.toml: model.num_heads: expected an integer, found null");
  expect_refused(R"({"normalize": 1})", "recipe.toml: model.normalize: expected true or false, found 1");
  expect_refused(R"({"eps": [1, 2]})", "recipe.toml: model.eps: expected a number, found a list of 2");
  expect_refused(R"({"norm": {}})", "recipe.toml: model.norm: expected a string, found a table");
  expect_refused(R"({"sizes": 3})", "recipe.toml: model.sizes: expected a list, found 3");
  expect_refused(R"({"grid": [[1], [2, "x"]]})", "recipe.toml: model.grid.1.1: expected a number, found 'x'");
  expect_refused(R"({"nested": 3})", "recipe.toml: model.nested: expected a table, found 3");
  expect_refused(R"({"list": [{}, {"rate": "x"}]})", "recipe.toml: model.list.1.rate: expected a number, found 'x'");
  expect_refused(R"({"window": 1.5})", "recipe.toml: model.window: expected an integer, found 1.5");
  expect_refused("[]", "recipe.toml: model: expected a table, found a list of 0");
}

TEST(Options, UnknownKeysAreRefusedWithTheNearestName) {
  expect_refused(R"({"num_head": 4})", "recipe.toml: model: unknown key 'num_head' (did you mean 'num_heads'?)");
  expect_refused(R"({"dropout": 4})", "recipe.toml: model: unknown key 'dropout'");
  expect_refused(R"({"maybe": {"mod": 1}})", "recipe.toml: model.maybe: unknown key 'mod' (did you mean 'mode'?)");
  EXPECT_THAT([] { options_from_json<Inner>(Json::parse(R"({"x": 1})"), "config.json"); },
              ThrowsMessage<ConfigError>(StrEq("config.json: unknown key 'x'")));
  EXPECT_THAT([] { options_from_json<Inner>(Json::parse(R"({"rate": "x"})"), "config.json"); },
              ThrowsMessage<ConfigError>(StrEq("config.json: rate: expected a number, found 'x'")));
  EXPECT_THAT([] { options_from_json<Inner>(Json::parse(R"({"rate": "x"})"), ""); },
              ThrowsMessage<ConfigError>(StrEq("rate: expected a number, found 'x'")));
}

TEST(Options, RulesHoldForValuesElementsAndOptionals) {
  expect_refused(R"({"norm": "jiont"})",
                 "recipe.toml: model.norm: expected one of joint, per_head, none, found 'jiont'"
                 " (did you mean 'joint'?)");
  expect_refused(R"({"names": ["a", "c"]})", "recipe.toml: model.names.1: expected one of a, b, found 'c'");
  expect_refused(R"({"num_heads": 0})", "recipe.toml: model.num_heads: expected a number 1 to 64, found 0");
  expect_refused(R"({"num_heads": 9223372036854775807})",
                 "recipe.toml: model.num_heads: expected a number 1 to 64, found 9223372036854775807");
  expect_refused(R"({"step": 0})", "recipe.toml: model.step: expected a number 1.2e-38 to 3.4e+38, found 0");
  expect_refused(R"({"eps": 1e300})", "recipe.toml: model.eps: expected a number 0 to 3.4e+38, found 1e+300");
  expect_refused(R"({"sizes": [1, 9]})", "recipe.toml: model.sizes.1: expected a number 1 to 8, found 9");
  expect_refused(R"({"window": 0})", "recipe.toml: model.window: expected a number 1 to 9007199254740992, found 0");
  expect_refused(R"({"window": 9007199254740993})",
                 "recipe.toml: model.window: expected a number 1 to 9007199254740992, found 9007199254740993");
  expect_refused(R"({"nested": {"rate": -0.5}})",
                 "recipe.toml: model.nested.rate: expected a number 0 to 1, found -0.5");
  EXPECT_EQ(sample_from(R"({"eps": 0})").eps, 0);
  EXPECT_EQ(sample_from(R"({"nested": {"rate": 1}})").nested.rate, 1);
}

template <class T, class... Rules>
concept Declares = requires(option_detail::Reader& reader, T& field, const Rules&... rules) {
  reader("name", field, "help", rules...);
};

TEST(Options, ANumberWithoutBoundsDoesNotCompile) {
  static_assert(!Declares<int64_t> && !Declares<double> && !Declares<std::optional<uint64_t>>);
  static_assert(!Declares<std::vector<std::vector<double>>>);
  static_assert(Declares<int64_t, Range> && Declares<std::vector<double>, Range>);
  static_assert(Declares<bool> && Declares<std::string> && Declares<std::vector<bool>> && Declares<Inner>);
}

TEST(Options, ANumberOfAFlagKeepsItsTypeAndItsBounds) {
  EXPECT_EQ(number_from_text<int64_t>("-7", "--n", between(-7, 7)), -7);
  EXPECT_EQ(number_from_text<int64_t>("1e3", "--n", between(0, 1000)), 1000);
  EXPECT_EQ(number_from_text<uint64_t>("18446744073709551615", "--n", any_value<uint64_t>()), ~uint64_t{0});
  EXPECT_EQ(number_from_text<double>("0.25", "--n", between(0, 1)), 0.25);
  const auto refused = [](const char* text, const char* message) {
    EXPECT_THAT([&] { number_from_text<int64_t>(text, "--n", between(0, 7)); },
                ThrowsMessage<ConfigError>(StrEq(message)));
  };
  refused("99999999999999999999", "--n: expected an integer, found 1e+20");
  refused("9223372036854775807", "--n: expected a number 0 to 7, found 9223372036854775807");
  refused("-1", "--n: expected a number 0 to 7, found -1");
  refused("3x", "--n: expected an integer, found '3x'");
  refused("", "--n: expected an integer, found ''");
  refused("nan", "--n: expected an integer, found 'nan'");
}

TEST(Options, LongValuesAreShortenedBetweenCharacters) {
  Json doc;
  doc["norm"] = std::string(59, 'x') + "\xc3\xa9" + std::string(1000, 'x');  // byte 60 is inside an e acute
  try {
    options_from_json<Sample>(doc, "f");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(),
                StrEq("f: norm: expected one of joint, per_head, none, found '" + std::string(59, 'x') + "...'"));
  }
}

TEST(Options, HelpDescribesEveryOption) {
  const std::vector<OptionHelp> rows = options_help<Sample>();
  std::vector<std::string> lines;
  for (const OptionHelp& row : rows)
    lines.push_back(row.name + "|" + row.type + "|" + row.default_text + "|" + row.range);
  EXPECT_THAT(
      lines,
      ElementsAre("num_heads|integer|12|1 to 64", "seed|integer|7|0 to 18446744073709551615",
                  "whole|integer|0|-9223372036854775808 to 9223372036854775807",
                  "small|integer|3|-2147483648 to 2147483647", "normalize|boolean|true|",
                  "eps|number|1e-12|0 to 3.4e+38", "step|number|1.0|1.2e-38 to 3.4e+38", "norm|string|\"joint\"|",
                  "sizes|list of integer|[]|1 to 8", "names|list of string|[\"a\"]|", "flags|list of boolean|[]|",
                  "grid|list of list of number|[]|-1.7976931348623157e+308 to 1.7976931348623157e+308",
                  "window|integer|unset|1 to 9007199254740992", "maybe|table|unset|", "maybe.rate|number|0.5|0 to 1",
                  "maybe.mode|string|\"fast\"|", "nested.rate|number|0.5|0 to 1", "nested.mode|string|\"fast\"|",
                  "list|list of table|[]|", "list.*.rate|number|0.5|0 to 1", "list.*.mode|string|\"fast\"|",
                  "raw|any|unset|"));
  EXPECT_EQ(rows[0].help, "number of heads");
  EXPECT_THAT(rows[7].choices, ElementsAre("joint", "per_head", "none"));
}

}  // namespace
}  // namespace rebased
