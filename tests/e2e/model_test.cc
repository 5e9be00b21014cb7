#include <set>

#include "e2e/command_test.h"

namespace rebased {
namespace {

using testing::HasSubstr;

class Generate : public CommandTest {};

TEST_F(Generate, WritesTheTextToStdoutAndTheFiguresToStderr) {
  make_model('x');
  const CommandResult result = rebased("generate model -p 'To be' -n 4");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "To bexxxx");
  EXPECT_THAT(result.err, HasSubstr("prompt 5 tokens"));
  EXPECT_THAT(result.err, HasSubstr("state "));
  EXPECT_EQ(rebased("generate model -p 'To be' -n 4 --no-echo").out, "xxxx");
  EXPECT_EQ(rebased("generate model -p 'To be' -n 4 --quiet").err, "");
  EXPECT_EQ(rebased("generate model -p 'To be' -n 0").out, "To be");
  EXPECT_EQ(rebased("--threads 2 generate model -p a -n 2").out, "axx");
  write("prompt.txt", "From a file");
  EXPECT_EQ(rebased("generate model --prompt-file prompt.txt --tokens 1").out, "From a filex");
}

TEST_F(Generate, PromptAndOutputAreOneText) {
  make_model(0x80);
  write("half", "\xf0\x9f\x98");
  EXPECT_EQ(rebased("generate model --prompt-file half -n 1").out, "\xf0\x9f\x98\x80");
  EXPECT_EQ(rebased("generate model --prompt-file half -n 1 --no-echo").out, "\x80");
  write("invalid", "a\xff");
  EXPECT_EQ(rebased("generate model --prompt-file invalid -n 1").out, "a\uFFFD\uFFFD");
  EXPECT_EQ(rebased("generate model --prompt-file invalid -n 1 --no-echo").out, "\uFFFD");
  make_model('x');
  write("zero", std::string("a\0b", 3));
  EXPECT_EQ(rebased("generate model --prompt-file zero -n 1").out, std::string("a\0bx", 4));
}

TEST_F(Generate, APromptMayComeFromAPipeThatSomebodyWritesTo) {
  make_model('x');
  EXPECT_EQ(shell("printf ab | rebased generate model --prompt-file /dev/stdin -n 1").out, "abx");
  EXPECT_EQ(shell("rebased generate model --prompt-file <(sleep 0.1; printf ab) -n 1").out, "abx");
  shell("mkfifo pipe");
  expect_refused("generate model --prompt-file pipe", 1, "pipe: nothing came out of this pipe");
  expect_refused("generate model --prompt-file /dev/zero", 1, "/dev/zero: expected a file, found a device");
  expect_refused("eval ppl model pipe", 1, "pipe: expected a file, found a pipe");
  expect_refused("eval mqar model --tasks /dev/fd/0.toml", 2, "/dev/fd/0.toml");
}

TEST_F(Generate, SamplingFlagsTakeEffect) {
  make_model();
  auto text = [&](const std::string& flags) { return rebased("generate model -p a -n 30 --quiet " + flags).out; };
  EXPECT_EQ(text("--seed 1"), text("--seed 1"));
  EXPECT_NE(text("--seed 1"), text("--seed 2"));
  EXPECT_EQ(text("--greedy"), text("--temperature 0"));
  EXPECT_EQ(text("--greedy"), text("--top-k 1"));
  EXPECT_EQ(text("--greedy"), text("--top-p 0.000001"));
  EXPECT_NE(text("--greedy"), text("--top-k 2 --temperature 9"));
  EXPECT_NE(text("--temperature 0.5"), text("--temperature 5"));
}

TEST_F(Generate, RefusesContradictions) {
  make_model('x', 8);
  expect_refused("generate model", 2, "either --prompt or --prompt-file");
  expect_refused("generate model -p a --prompt-file b", 2, "either --prompt or --prompt-file");
  expect_refused("generate model -p a --weights q8", 2, "expected one of f32, bf16, int8, int4, found 'q8'");
  expect_refused("generate model -p a --greedy --temperature 2", 2, "--temperature cannot take effect");
  expect_refused("generate model -p a --greedy --top-k 2", 2, "--top-k cannot take effect");
  expect_refused("generate model -p a --temperature 0 --seed 2", 2, "--seed cannot take effect");
  expect_refused("generate model -p a --temperature -1", 2, "temperature: expected a number 0 to 3.4e+38, found -1");
  expect_refused("generate model -p a -n -1", 2, "--tokens");
  expect_refused("generate model -p '' -n 1", 2, "the prompt is empty");
  expect_refused("generate model -p 12345678 -n 2 --no-echo", 1, "more than the 8 that the model can take");
  expect_refused("generate model --prompt-file missing.txt", 1, "missing.txt");
}

TEST_F(Generate, NamesWhatIsWrongWithAModel) {
  expect_refused("generate missing -p a", 1, "missing");
  make_model('x', 0, "ids_only", false);
  expect_refused("generate ids_only -p a", 2, "no tokenizer.json");
  make_model();
  const std::string tensors = read_file(folder_ / "model/model.safetensors");
  write("model/model.safetensors", tensors.substr(0, tensors.size() / 2));
  expect_refused("generate model -p a", 1, "model.safetensors");
  write("model/model.safetensors", tensors);
  write("model/config.json", "{\"vocab_sise\": 257}");
  expect_refused("generate model -p a", 2, "config.json: unknown key 'vocab_sise' (did you mean 'vocab_size'?)");
}

// A zero byte in a name neither ends the message nor breaks its line.
TEST_F(Generate, NamesInAFileAreSpelledOut) {
  make_model();
  const std::string header = R"({"a\u0000\n\u001b[31mb":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}})";
  const uint64_t length = header.size();
  write("model/model.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + header);
  expect_refused("generate model -p a", 1, R"(tensor 'a\x00\n\x1b[31mb': unknown dtype 'F33')");
}

TEST_F(Generate, DamagedWeightsAreAnErrorAndNotText) {
  CpuEngine engine;
  const auto model = tiny_model(engine);
  model->parameters().at("ln_f.bias").value = engine.full(Shape({16}), DType::kF32, std::nan(""));
  save_model(*model, engine, folder_ / "model");
  expect_refused("generate model -p a --no-echo", 1,
                 "model: ln_f.bias: expected finite numbers, found infinity or NaN");
  model->parameters().at("ln_f.bias").value = engine.full(Shape({16}), DType::kF32, 3e38);  // overflows in the head
  save_model(*model, engine, folder_ / "model");
  expect_refused("generate model -p a --no-echo", 1, "the logit of token ");
}

class Eval : public CommandTest {};

TEST_F(Eval, MqarPrintsATableOrJson) {
  make_model();
  const std::string arguments = "eval mqar model --tasks L=16,K=2 --tasks L=32,K=4,V=64 --examples 10 --batch 4";
  const CommandResult table = rebased(arguments);
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, testing::AllOf(HasSubstr("mqar L=16 K=2"), HasSubstr("pairs 4"), HasSubstr("distance "),
                                        HasSubstr("state bytes")));
  const Json json = Json::parse(rebased(arguments + " --json").out);
  ASSERT_EQ(json.at("tasks").size(), 2u);
  const Json& first = json.at("tasks").at(0);
  EXPECT_EQ(first.at("examples"), 10);
  EXPECT_EQ(first.at("positions"), 20);
  EXPECT_EQ(first.at("by_pairs").at(0).at("low"), 2);
  EXPECT_GT(first.at("state_bytes"), 0);
  EXPECT_NE(Json::parse(rebased(arguments + " --json --seed 1").out), json);
}

TEST_F(Eval, MqarReadsFiles) {
  make_model();
  ASSERT_EQ(
      rebased("prepare mqar --vocab 257 --seq-len 16 --pairs 2 --examples 7 --seed 5 --out data.safetensors").status,
      0);
  write("tasks.toml", "[[tasks]]\nseq_len = 16\npairs = 2\n[[tasks]]\nseq_len = 32\npairs = 2\n");
  const Json json = Json::parse(
      rebased("eval mqar model --json --examples 7 --seed 5 --tasks data.safetensors --tasks tasks.toml").out);
  ASSERT_EQ(json.at("tasks").size(), 3u);
  Json prepared = json.at("tasks").at(0), generated = json.at("tasks").at(1);
  EXPECT_EQ(prepared.at("task"), "data.safetensors");
  prepared.erase("task");
  generated.erase("task");
  EXPECT_EQ(prepared, generated);
}

TEST_F(Eval, MqarRefusesWhatDoesNotFit) {
  make_model(-1, 16);
  expect_refused("eval mqar model --tasks L=16,K=2,V=258", 2,
                 "--tasks L=16,K=2,V=258: vocab_size: expected at most the model's 257, found 258");
  expect_refused("eval mqar model --tasks L=16,K=2,V=2147483647", 2, "vocab_size: expected a number 4 to 4194304");
  expect_refused("eval mqar model --tasks L=18,K=2", 2, "18 tokens are longer than the 16");
  expect_refused("eval mqar model --tasks 64", 2, "--tasks 64: expected KEY=VALUE");
  expect_refused("eval mqar model --tasks L=16,K=2,pwer=1", 2, "did you mean 'power'?");
  expect_refused("eval mqar model --tasks missing.toml", 2, "missing.toml");
  expect_refused("eval mqar model --tasks L=16,K=2 --batch 0", 2, "batch");
  write("empty.toml", "tasks = []\n");
  expect_refused("eval mqar model --tasks empty.toml", 2, "at least one [[tasks]]");
  expect_refused("eval mqar missing", 1, "missing");
}

TEST_F(Eval, PerplexityOfAModelThatKnowsOneLetter) {
  make_model('x');
  write("x.txt", "xxxxxxxxx");
  write("mixed.txt", "xxxxyxxxx");
  const Json json = Json::parse(rebased("eval ppl model x.txt mixed.txt --window 3 --json").out);
  EXPECT_EQ(json.at("predicted_bytes"), 16);
  EXPECT_NEAR(json.at("files").at(0).at("bits_per_byte"), 0, 1e-6);
  EXPECT_NEAR(json.at("files").at(1).at("bits_per_byte"), 100 / std::log(2.0) / 8, 1e-4);  // one miss in 8, nat 100
  const CommandResult table = rebased("eval ppl model x.txt mixed.txt");
  EXPECT_THAT(table.out, testing::AllOf(HasSubstr("x.txt"), HasSubstr("\nall "), HasSubstr("bits/byte")));
}

TEST_F(Eval, NamesOfAnyBytesLoseNoResult) {
  make_model('x', 0, "m\xff");
  write("x\xfe.txt", "xxxxxxxxx");
  const CommandResult result = rebased("eval ppl $'m\\xff' $'x\\xfe.txt' --json");
  EXPECT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json.at("model"), "m\uFFFD");
  EXPECT_EQ(json.at("files").at(0).at("file"), "x\uFFFD.txt");
  EXPECT_EQ(json.at("predicted_bytes"), 8);
  EXPECT_EQ(
      shell("rebased prepare mqar --vocab 257 --seq-len 16 --pairs 2 --examples 3 --out $'\\xff.safetensors'").err,
      "info: \xff.safetensors: 3 rows of 16 tokens of the task mqar\n");
  const Json mqar = Json::parse(rebased("eval mqar $'m\\xff' --tasks $'\\xff.safetensors' --json").out);
  EXPECT_EQ(mqar.at("tasks").at(0).at("task"), "\uFFFD.safetensors");
  expect_refused("prepare mqar --set $'generator=\\xff' --out a.safetensors", 2, "generator: expected UTF-8 text");
}

TEST_F(Eval, PerplexityFlagsTakeEffect) {
  make_model();
  write("text.txt", "To be, or not to be, that is the question.");
  auto bits = [&](const std::string& flags) {
    return Json::parse(rebased("eval ppl model text.txt --json " + flags).out).at("bits_per_byte").get<double>();
  };
  EXPECT_GT(std::abs(bits("--window 4") - bits("")), 1e-3);
  EXPECT_NEAR(bits("--window 4 --carry"), bits(""), 1e-3);
  EXPECT_NEAR(bits("--window 4 --batch 2"), bits("--window 4 --batch 1"), 1e-3);
  expect_refused("eval ppl model text.txt --window 0", 2, "window");
  expect_refused("eval ppl model missing.txt", 1, "missing.txt");
  make_model(-1, 0, "ids_only", false);
  expect_refused("eval ppl ids_only text.txt", 2, "no tokenizer.json");
}

TEST_F(Eval, AScoreThatIsNotFiniteIsAnError) {
  make_model();
  CpuEngine engine;
  const auto model = tiny_model(engine);
  model->parameters().at("ln_f.bias").value = engine.full(Shape({16}), DType::kF32, 3e38);
  save_model(*model, engine, folder_ / "model");
  write("text.txt", "To be, or not to be, that is the question.");
  for (const std::string flags : {"", " --json", " --weights int8"}) {
    for (const auto& [verb, says] : {std::pair("ppl model text.txt", "\nrebased: text.txt: a loss is "),
                                     std::pair("mqar model --tasks L=16,K=2", "\nrebased: the task: a loss is ")}) {
      const CommandResult result = rebased("eval " + std::string(verb) + flags);
      EXPECT_EQ(result.status, 1);
      EXPECT_EQ(result.out, "");
      EXPECT_THAT(result.err, HasSubstr(says));  // below the progress
    }
  }
}

class Bench : public CommandTest {};

TEST_F(Bench, PrintsTheMachineAndATableOrJson) {
  make_model();
  const CommandResult table = rebased("bench decode model --rounds 1 --rows 2 --position 7");
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, testing::AllOf(HasSubstr("commit "), HasSubstr("tokens/s"), HasSubstr("% of reading")));
  const Json decode = Json::parse(rebased("bench decode model --rounds 1 --rows 2 --position 7 --json").out);
  EXPECT_EQ(decode.at("rows").at(0).at("rows"), 2);
  EXPECT_EQ(decode.at("rows").at(0).at("position"), 7);
  const Json packed = Json::parse(rebased("bench decode model --rounds 1 --rows 2 --weights int8 --json").out);
  EXPECT_LT(packed.at("rows").at(0).at("bytes"), decode.at("rows").at(0).at("bytes"));
  const Json prefill = Json::parse(rebased("bench prefill model --rounds 1 --tokens 5 --tokens 9 --json").out);
  ASSERT_EQ(prefill.at("rows").size(), 2u);
  EXPECT_EQ(prefill.at("rows").at(1).at("tokens"), 9);
  const Json kernels = Json::parse(rebased("bench kernels --only T48 --rounds 1 --threads 1 --json").out);
  ASSERT_EQ(kernels.at("rows").size(), 1u);
  EXPECT_EQ(kernels.at("rows").at(0).at("correct"), true);
  EXPECT_EQ(kernels.at("machine").at("threads"), 1);
  const Json later = Json::parse(rebased("bench prefill model --rounds 1 --tokens 5 --behind 20 --json").out);
  EXPECT_GT(later.at("rows").at(0).at("growth"), 0);
  const CommandResult scaling = rebased("bench prefill model --rounds 1 --tokens 5 --threads 2 --scaling");
  EXPECT_THAT(scaling.out, HasSubstr("/ 1 thread"));
  const Json scaled = Json::parse(rebased("bench prefill model --rounds 1 --tokens 5 --scaling --json").out);
  EXPECT_GT(scaled.at("rows").at(0).at("scaling").at("work"), 0);
}

TEST_F(Bench, MeasuresTheLimitsOfTheMachine) {
  const Json limits = Json::parse(rebased("bench limits --rounds 1 --json").out);
  std::set<std::string> names;
  for (const Json& row : limits.at("rows")) {
    names.insert(row.at("limit").get<std::string>());
    EXPECT_GT(row.at("one_thread"), 0);
    EXPECT_GT(row.at("all"), 0);
  }
  EXPECT_THAT(names, testing::ElementsAre("gemm_bf16", "gemm_f32", "gemm_int4", "gemm_int8", "gemm_rounded", "read"));
}

TEST_F(Bench, KeepsToTheInstructionSetAskedFor) {
  make_model();
  auto simd = [&](const std::string& variable) {
    const CommandResult result = shell(variable + " rebased bench prefill model --rounds 1 --tokens 5 --json");
    EXPECT_EQ(result.status, 0) << result.err;
    return Json::parse(result.out).at("machine").at("simd").get<std::string>();
  };
  EXPECT_EQ(simd("REBASED_SIMD=SCALAR"), "SCALAR");
  EXPECT_NE(simd(""), "SCALAR");
  EXPECT_EQ(simd("REBASED_SIMD="), simd(""));
  const CommandResult refused = shell("REBASED_SIMD=avx rebased bench prefill model");
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, testing::AllOf(HasSubstr("REBASED_SIMD: expected one of"), HasSubstr("found 'avx'")));
}

TEST_F(Bench, RefusesWhatCannotBeMeasured) {
  make_model();
  expect_refused("bench decode model --rows 0", 2, "--rows: expected a number 1 to 2147483647, found 0");
  expect_refused("bench decode model --position -1", 2, "--position: expected a number 0 to 2147483647, found -1");
  expect_refused("bench decode model --rounds 0", 2, "--rounds: expected a number 1 to 1000000, found 0");
  expect_refused("bench decode model --config config.json", 2, "give either MODEL or --config");
  expect_refused("bench decode --config none.json", 2, "none.json: cannot open");
  expect_refused("bench decode --config model", 2, "model: expected a file, found a folder");
  expect_refused("bench prefill model --behind -1", 2, "--behind: expected a number 0 to 2147483647, found -1");
  expect_refused("bench prefill model --tokens many", 2, "--tokens: expected an integer, found 'many'");
  expect_refused("bench kernels --only nothing", 2, "no row has 'nothing' in its name");
}

}  // namespace
}  // namespace rebased
