#include "config/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string repeated(std::string_view piece, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += piece;
  return text;
}

void expect_toml_refused(std::string_view text, std::string_view message) {
  EXPECT_THAT([&] { parse_toml(text, "recipe.toml"); }, ThrowsMessage<ConfigError>(HasSubstr(std::string(message))));
}

TEST(Toml, IsReadInTheOrderOfTheText) {
  const Json doc = parse_toml(R"(# a recipe
zeta = 1
alpha = "two\n"   # comment
list = [1, 2.5, [true], {b = 1, a = 2}]
[model.mixer]
type = 'rebased'
dotted.key = 1_000
[a]
[[layers]]
width = 3
[[layers]]
)",
                              "recipe.toml");
  EXPECT_EQ(doc.dump(),
            R"({"zeta":1,"alpha":"two\n","list":[1,2.5,[true],{"b":1,"a":2}],)"
            R"("model":{"mixer":{"type":"rebased","dotted":{"key":1000}}},"a":{},"layers":[{"width":3},{}]})");
}

TEST(Toml, AnEmptyTextIsAnEmptyTable) { EXPECT_EQ(parse_toml("", "f"), Json::object()); }

TEST(Toml, DatesBecomeStrings) {
  EXPECT_EQ(parse_toml("a = 2024-02-29\nb = 10:20:30\nc = 2024-02-29T10:20:30Z", "f").dump(),
            R"({"a":"2024-02-29","b":"10:20:30","c":"2024-02-29T10:20:30Z"})");
}

TEST(Toml, CharactersBeyondAsciiAreTextAndNeverSpace) {
  for (const char* letter : {"\xc3\xa9", "\xd0\x96", "\xe3\x81\x82", "\xef\xbb\xbb"}) {  // four blocks of Unicode
    const std::string text(letter);
    EXPECT_EQ(parse_toml("a = \"\"\"x\\\n  " + text + "\"\"\" # " + text, "f")["a"], "x" + text);
    EXPECT_EQ(parse_toml("\"" + text + "\" = '" + text + "'", "f")[text], text);
    expect_toml_refused(text + " = 1", "recipe.toml:1:1: ");
    expect_toml_refused("a" + text + " = 1", "recipe.toml:1:2: ");
    expect_toml_refused("a = 1" + text, "recipe.toml:1:");
    expect_toml_refused("a = \"\"\"\\" + text + "\"\"\"", "recipe.toml:1:");
  }
}

TEST(Toml, ErrorsNameFileLineAndColumn) {
  expect_toml_refused("a = 1\nb = = 2\n", "recipe.toml:2:5: ");
  expect_toml_refused("a = 1\na = 2\n", "recipe.toml:2:");
  expect_toml_refused("a = 1\nb = nan\n", "recipe.toml:2:5: b: expected a finite number, found nan");
  expect_toml_refused("a = -inf", "recipe.toml:1:5: a: expected a finite number, found -inf");
  expect_toml_refused("a = 9223372036854775808", "recipe.toml:1:");
  expect_toml_refused("a = \"\xff\"", "recipe.toml:1:");
  expect_toml_refused("a = \"open", "recipe.toml:1:");
  expect_toml_refused("a = '''open\n\n", "recipe.toml:");
}

TEST(Toml, ErrorsNameTheFieldAndWhatWasFound) {
  expect_toml_refused("[optimizer]\nratio = nan",
                      "recipe.toml:2:9: optimizer.ratio: expected a finite number, found nan");
  expect_toml_refused("[a]\nb = [1, +inf]", "recipe.toml:2:9: a.b.1: expected a finite number, found inf");
  expect_toml_refused("[[a]]\n[[a]]\nb = { c = -inf }", "a.1.b.c: expected a finite number, found -inf");
  for (const char* value : {"", "abc", "01", "1_", "1e999", "99999999999999999999", "None", "2024-13-01", "10:20",
                            "\"x", "1,5", "1 2", "0x", ".5"}) {
    const std::string line = std::string("lr = ") + value;
    expect_toml_refused("[a]\n \t" + line + "\r\nb = 1", "recipe.toml:2:");
    expect_toml_refused("[a]\n \t" + line + "\nb = 1", ": expected TOML, found '" + line + "': ");
    expect_toml_refused(line, "expected TOML, found '" + line + "': ");
  }
  expect_toml_refused("lr = x" + repeated("y", 100), "found 'lr = x" + repeated("y", 54) + "...': ");
  expect_toml_refused("a = [1,\n", "expected TOML, found 'a = [1,': ");
}

TEST(Toml, AValueOnItsOwnIsNamedAsTheCallerSays) {
  EXPECT_EQ(parse_toml_value("[1, {a = 2}]", "f", "x").dump(), R"([1,{"a":2}])");
  const auto refuses = [](const char* text, const char* message) {
    EXPECT_THAT([&] { parse_toml_value(text, "--flag", "x.y"); }, ThrowsMessage<ConfigError>(HasSubstr(message)));
    EXPECT_THAT([&] { parse_typed_value(text, "--flag", "x.y"); }, ThrowsMessage<ConfigError>(HasSubstr(message)));
  };
  refuses("[nan]", "--flag: x.y.0: expected a finite number, found nan");
  refuses("{a = [1, inf]}", "--flag: x.y.a.1: expected a finite number, found inf");
  refuses("[1", "--flag: expected TOML: ");
  refuses("'a", "--flag: expected TOML: ");
  EXPECT_THAT([] { parse_toml_value("nan", "--flag", ""); },
              ThrowsMessage<ConfigError>("--flag: expected a finite number, found nan"));
  for (const char* word : {"nan", "inf", "abc", "", "1\nb = 2"}) EXPECT_EQ(parse_typed_value(word, "f", "x"), word);
}

TEST(Toml, DepthIsLimited) {
  const std::string limit = "nested deeper than 64 levels";
  expect_toml_refused("\na = " + repeated("[", 65), "recipe.toml:2: " + limit);
  expect_toml_refused("a = " + repeated("{a=", 100000), limit);
  expect_toml_refused("a" + repeated(".a", 100000) + " = 1", limit);
  expect_toml_refused("[a" + repeated(" . 'a'", 100000) + "]\n", limit);
  expect_toml_refused("x = {" + repeated("a.", 60) + "a = {" + repeated("a.", 60) + "a = 1}}", limit);
  expect_toml_refused("a = \"\\\"\"\nb = \"\"\"\\\"\"\"\"\nc" + repeated(".a", 100) + " = 1",
                      "recipe.toml:3: " + limit);
  EXPECT_NO_THROW(parse_toml("a = " + repeated("[", 63) + repeated("]", 63), "f"));
}

TEST(Toml, WhatOnlyLooksDeepIsAccepted) {
  const std::string dots = repeated(".", 100), brackets = repeated("[", 100);
  EXPECT_NO_THROW(parse_toml("a = \"" + dots + brackets + "\" # " + dots + brackets, "f"));
  EXPECT_NO_THROW(parse_toml("a = '" + dots + brackets + "\\'\nb = '''\n''" + brackets + "'''''\nc = 1", "f"));
  EXPECT_NO_THROW(parse_toml("a = \"\"\"\n\\\"\"" + brackets + "\n\"\"\"\"\nc = 1", "f"));
  EXPECT_NO_THROW(parse_toml("a = [" + repeated("1.5, ", 1000) + "]\n", "f"));
  EXPECT_NO_THROW(parse_toml(repeated("[[a]]\n", 1000), "f"));
  EXPECT_NO_THROW(parse_toml("a = 1 # it's\nb" + repeated(".b", 30) + " = 1\r\n", "f"));
}

TEST(Toml, TheFileIsNamedAndMayBeEmpty) {
  EXPECT_THAT([] { parse_toml("a = \n", "folder/f.toml"); }, ThrowsMessage<ConfigError>(HasSubstr("folder/f.toml:1:")));
  EXPECT_EQ(parse_toml("", "f"), Json::object());
}

TEST(TomlWriting, PutsPlainValuesBeforeTables) {
  const Json doc = Json::parse(R"({"b": {"x": 1, "deep": {"y": [1, [2.0]]}, "gone": null}, "a": "q\"uote\n\u007f\u0000",
    "layers": [{"w": 1, "in": {"k": true}}, {}], "odd key": {"": -0.5}, "mixed": [1, {"u": {"v": 2}, "w": null}, {}],
    "empty": [], "none": {}})");
  EXPECT_EQ(to_toml(doc), R"(a = "q\"uote\n\u007f\u0000"
mixed = [1, { u = { v = 2 } }, {}]
empty = []

[b]
x = 1

[b.deep]
y = [1, [2.0]]

[[layers]]
w = 1

[layers.in]
k = true

[[layers]]

["odd key"]
"" = -0.5

[none]
)");
}

TEST(TomlWriting, ReadsBackAsTheSameDocument) {
  const Json doc = Json::parse(R"({"a": 1, "text": "tab\t \u00e9 \u20ac \ud83d\ude00 \u007f \\ ' \"", "big": 1e300,
    "small": -5e-324, "one": 1.0, "least": -9223372036854775808, "yes": true, "l": [[], [[1]], "x", {"k": [{"z": {}}]}],
    "t": {"dotted.key": 1, "s": {"u": [1.5]}}, "tables": [{"k": 1, "n": {"m": [{"p": 1}, {"p": 2}]}}, {}], "e": {}})");
  EXPECT_EQ(parse_toml(to_toml(doc), "f").dump(), doc.dump());
}

TEST(TomlWriting, RefusesWhatTomlCannotSay) {
  const auto refuses = [](Json doc, const char* message) {
    EXPECT_THAT([&] { to_toml(doc); }, ThrowsMessage<ConfigError>(HasSubstr(message)));
  };
  refuses(Json::parse(R"({"t": {"a": [1, null]}})"), "t.a: TOML cannot hold a null inside a list");
  refuses(Json::parse(R"({"a": 9223372036854775808})"), "a: TOML integers end at 2^63 - 1, found 9223372036854775808");
  refuses(Json::parse("[]"), "only a table can be written as TOML, found array");
  Json infinite, bytes;
  infinite["a"] = std::numeric_limits<double>::infinity();
  refuses(infinite, "a: numbers must be finite, found inf");
  bytes["a"] = "\xff";
  refuses(bytes, "UTF-8");
}

TEST(TomlWriting, AValueOnOneLineIsWhatSetReads) {
  for (const char* text : {"4", "1e-12", "true", "\"a \\\"b\\\" = [c]\"", "[]", "[1, [2, \"x\"]]", "{}",
                           "[{ type = \"rebased\", \"odd key\" = { n = 1 } }, { type = \"attention\" }]"}) {
    Json set = Json::object(), again = Json::object();
    apply_set(set, std::string("a=") + text);
    apply_set(again, "a=" + to_toml_value(set["a"]));
    EXPECT_EQ(again, set) << text;
    EXPECT_EQ(to_toml_value(set["a"]).find('\n'), std::string::npos);
  }
  EXPECT_THROW(to_toml_value(nullptr), ConfigError);
  EXPECT_THROW(to_toml_value("\xff"), ConfigError);
}

TEST(JsonText, IsReadInOrderAndErrorsNameTheFile) {
  EXPECT_EQ(parse_json(R"({"z": 1, "a": [{"k": 1}, {"k": null}]})", "config.json").dump(),
            R"({"z":1,"a":[{"k":1},{"k":null}]})");
  const auto refuses = [](std::string_view text, const char* message) {
    EXPECT_THAT([&] { parse_json(text, "config.json"); }, ThrowsMessage<ConfigError>(HasSubstr(message))) << text;
  };
  refuses("{\n \"a\": }", "config.json: parse error at line 2, column 7: ");
  refuses("", "config.json: parse error");
  refuses("{} x", "config.json: parse error");
  refuses("\"\xff\"", "config.json: parse error");
  refuses(std::string_view("{}\0{", 4), "config.json: parse error: a zero byte");
  refuses("[1e999]", "config.json: number overflow");
  refuses(R"({"a": {"k": 1, "b": 2, "k": 3}})", "config.json: key 'k' stands twice in one object");
  refuses("{\"a\": 1, \"\\u0061\": 2}", "config.json: key 'a' stands twice in one object");
  refuses(repeated("[", 100000), "config.json: nested deeper than 64 levels");
  refuses(repeated("{\"a\":", 100000), "config.json: nested deeper than 64 levels");
  EXPECT_NO_THROW(parse_json(repeated("[", 64) + repeated("]", 64), "f"));
}

Json after_set(const char* text, std::string_view assignment) {
  Json doc = Json::parse(text);
  apply_set(doc, assignment);
  return doc;
}

TEST(Set, ReadsTheValueAsTomlOrAsAWord) {
  EXPECT_EQ(after_set("{}", "a=4").dump(), R"({"a":4})");
  EXPECT_EQ(after_set("{}", "a=-1e-3").dump(), R"({"a":-0.001})");
  EXPECT_EQ(after_set("{}", "a=true").dump(), R"({"a":true})");
  EXPECT_EQ(after_set("{}", "a=[1, 'x']").dump(), R"({"a":[1,"x"]})");
  EXPECT_EQ(after_set("{}", "a={b = 1}").dump(), R"({"a":{"b":1}})");
  EXPECT_EQ(after_set("{}", "a='4'").dump(), R"({"a":"4"})");
  EXPECT_EQ(after_set("{}", "a=joint").dump(), R"({"a":"joint"})");
  EXPECT_EQ(after_set("{}", "a=runs/x=1.txt").dump(), R"({"a":"runs/x=1.txt"})");
  EXPECT_EQ(after_set("{}", "a=").dump(), R"({"a":""})");
  EXPECT_EQ(after_set("{}", "a=1\nb = 2").dump(), R"({"a":"1\nb = 2"})");
}

TEST(Set, WalksTablesAndLists) {
  EXPECT_EQ(after_set(R"({"a": {"b": 1, "c": 2}})", "a.b=3").dump(), R"({"a":{"b":3,"c":2}})");
  EXPECT_EQ(after_set(R"({"a": null})", "a.b.c=3").dump(), R"({"a":{"b":{"c":3}}})");
  EXPECT_EQ(after_set("null", "a=3").dump(), R"({"a":3})");
  EXPECT_EQ(after_set(R"({"l": [{"x": 1}, {"x": 2}]})", "l.1.x=3").dump(), R"({"l":[{"x":1},{"x":3}]})");
  EXPECT_EQ(after_set(R"({"l": [1, 2]})", "l.0=x").dump(), R"({"l":["x",2]})");
  EXPECT_EQ(after_set("{}", "t.0.x=3").dump(), R"({"t":{"0":{"x":3}}})");
}

TEST(Set, RefusesPathsThatLeadNowhereAndChangesNothing) {
  const char* text = R"({"a": 1, "l": [1, 2], "t": {}})";
  const auto refuses = [&](std::string_view assignment, const char* message) {
    Json doc = Json::parse(text);
    EXPECT_THAT([&] { apply_set(doc, assignment); }, ThrowsMessage<ConfigError>(HasSubstr(message))) << assignment;
    EXPECT_EQ(doc, Json::parse(text));
  };
  refuses("a.b=1", "--set a.b=1: 'a' is neither a table nor a list");
  refuses("t.x=[1", "--set t.x=[1: expected TOML: ");
  refuses("t.x=[1]\nb = 2", "expected one value");
  refuses("l.2=1", "--set l.2=1: expected an element of a list of 2 counted from 0, found '2'");
  refuses("l.-1=1", "counted from 0, found '-1'");
  refuses("l.0x=1", "counted from 0, found '0x'");
  refuses("l.1.x=1", "'l.1' is neither a table nor a list");
  refuses("t.a.b.c", "--set t.a.b.c: expected KEY=VALUE");
  refuses("=1", "without empty keys");
  refuses("t..x=1", "without empty keys");
  refuses("t.=1", "without empty keys");
  refuses(repeated("t.", 100) + "x=1", "nested deeper than 64 levels");
}

}  // namespace
}  // namespace rebased
