#include "io/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "io/file.h"
#include "io/temporary_folder.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

// A model whose config and tensor say the same number, so that a mixture of two would show.
void fill(ModelFolderWriter& writer, int64_t number) {
  const auto value = static_cast<float>(number);
  const TensorToWrite tensor = {"w", DType::kF32, {1}, &value};
  Json config;
  config["number"] = number;
  writer.write_config(config);
  writer.write_tensors({&tensor, 1}, {{"format", "pt"}});
  writer.write_file("tokenizer.json", std::to_string(number));
}

void write_model(const std::string& path, int64_t number) {
  ModelFolderWriter writer(path);
  fill(writer, number);
  writer.commit();
}

int64_t number_in(const std::string& path) {
  const ModelFolder model = open_model_folder(path);
  const auto number = model.config.at("number").get<int64_t>();
  EXPECT_EQ(read_f32(model.tensors.at("w")).at(0), static_cast<float>(number));
  EXPECT_EQ(read_file(model.path + "/tokenizer.json"), std::to_string(number));
  return number;
}

TEST(ModelFolder, IsWrittenAndOpened) {
  const TemporaryFolder folder;
  write_model(folder / "m", 3);
  EXPECT_EQ(number_in(folder / "m"), 3);
  EXPECT_EQ(number_in(folder / "m/"), 3);
  EXPECT_EQ(open_model_folder(folder / "m").path, folder / "m");
  EXPECT_EQ(open_model_folder(folder / "m").tensors.metadata().at("format"), "pt");
  EXPECT_EQ(read_file(folder / "m/config.json"), "{\n  \"number\": 3\n}\n");
  EXPECT_THAT(folder.names(), ElementsAre("m"));
}

TEST(ModelFolder, ReplacesAnOlderOneAsAWhole) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  write_file_atomic(folder / "m/extra", "x");
  {
    ModelFolderWriter writer(folder / "m/");
    fill(writer, 2);
    EXPECT_EQ(number_in(folder / "m"), 1);
    writer.commit();
    EXPECT_EQ(number_in(folder / "m"), 2);
    EXPECT_THROW(writer.commit(), IoError);
    EXPECT_THROW(writer.write_file("late", ""), IoError);
  }
  EXPECT_EQ(number_in(folder / "m"), 2);
  EXPECT_EQ(read_file(folder / "m/extra"), "x");  // not of the model
  EXPECT_THAT(folder.names(), ElementsAre("m"));
}

// What a user keeps beside a model: files, folders and links.
void put_notes(const std::string& model) {
  write_file_atomic(model + "/NOTES.md", "mine");
  write_file_atomic(model + "/data.tmp-2024", "mine too");
  fs::create_directories(model + "/plots/model.safetensors");
  fs::create_symlink("NOTES.md", model + "/README.md");
}

void expect_notes(const std::string& model) {
  EXPECT_EQ(read_file(model + "/NOTES.md"), "mine");
  EXPECT_EQ(read_file(model + "/data.tmp-2024"), "mine too");
  EXPECT_TRUE(fs::is_directory(model + "/plots/model.safetensors"));
  EXPECT_TRUE(fs::is_symlink(model + "/README.md"));
}

TEST(ModelFolder, FilesOfOthersStayAndThoseOfTheOldModelGo) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  put_notes(folder / "m");
  write_file_atomic(folder / "m/model.safetensors.index.json", "{}");
  write_file_atomic(folder / "m/model-00001-of-00002.safetensors", "");
  write_file_atomic(folder / "m/model-1-of-2.safetensors", "mine");
  for (const int64_t number : {2, 3}) {
    ModelFolderWriter writer(folder / "m");
    fill(writer, number);
    writer.write_file("labels.txt", std::to_string(number));
    writer.commit();
    EXPECT_EQ(number_in(folder / "m"), number);
    EXPECT_EQ(read_file(folder / "m/labels.txt"), std::to_string(number));
    expect_notes(folder / "m");
    EXPECT_THAT(folder.names(), ElementsAre("m"));
  }
  EXPECT_FALSE(fs::exists(folder / "m/model.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(folder / "m/model-00001-of-00002.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "m/model-1-of-2.safetensors"));
}

TEST(ModelFolder, ALinkStaysAndWhatItNamesIsWritten) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "far/empty");
  write_model(folder / "far/m", 1);
  put_notes(folder / "far/m");
  fs::create_directory_symlink("far/empty", folder / "empty");
  fs::create_directory_symlink("far/m", folder / "m");
  fs::create_directory_symlink("far/none", folder / "none");
  for (const std::string name : {"empty", "m", "none"}) {
    write_model(folder / name + "/", 2);
    EXPECT_TRUE(fs::is_symlink(folder / name)) << name;
    EXPECT_EQ(number_in(folder / "far/" + name), 2);
    EXPECT_EQ(number_in(folder / name), 2);
  }
  expect_notes(folder / "far/m");
  EXPECT_THAT(folder.names(), ElementsAre("empty", "far", "m", "none"));
}

TEST(ModelFolder, AFileThatIsALinkIsNeitherLostNorWrittenThrough) {
  for (const std::string file : {"model.safetensors", "config.json", "tokenizer.json", "model.safetensors.index.json",
                                 "model-00001-of-00002.safetensors"}) {
    for (const Place place : {Place::kUsers, Place::kOwn}) {
      const TemporaryFolder folder;
      write_model(folder / "m", 1);
      const bool has = fs::exists(folder / "m/" + file);
      if (has) fs::rename(folder / "m/" + file, folder / "far");
      const std::string before = has ? read_file(folder / "far") : "";
      fs::create_symlink("../far", folder / "m/" + file);  // one without a target stays too
      EXPECT_THAT([&] { ModelFolderWriter(folder / "m", place); },
                  ThrowsMessage<IoError>(folder / "m/" + file +
                                         ": is a symbolic link, so the model in this folder is not replaced"));
      EXPECT_TRUE(fs::is_symlink(folder / "m/" + file)) << file;
      if (has) {
        EXPECT_EQ(read_file(folder / "far"), before) << file;
        EXPECT_EQ(number_in(folder / "m"), 1) << file;
      }
      remove_model(folder / "m");
      EXPECT_TRUE(fs::is_symlink(folder / "m/" + file)) << file;
      EXPECT_EQ(fs::exists(folder / "far"), has) << file;
    }
  }
}

TEST(ModelFolder, ALinkThatComesWhileTheModelIsWrittenStaysToo) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  ModelFolderWriter writer(folder / "m");
  fill(writer, 2);
  fs::rename(folder / "m/model.safetensors", folder / "far");
  fs::create_symlink("../far", folder / "m/model.safetensors");
  EXPECT_THROW(writer.commit(), IoError);
  EXPECT_TRUE(fs::is_symlink(folder / "m/model.safetensors"));
  EXPECT_EQ(number_in(folder / "m"), 1);
}

TEST(ModelFolder, AFolderInThePlaceOfAFileIsNotMovedAway) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  fs::remove(folder / "m/tokenizer.json");
  fs::create_directory(folder / "m/tokenizer.json");
  write_file_atomic(folder / "m/tokenizer.json/notes", "mine");
  EXPECT_THAT([&] { write_model(folder / "m", 2); },
              ThrowsMessage<IoError>(HasSubstr("tokenizer.json: is not a plain")));
  EXPECT_EQ(read_file(folder / "m/tokenizer.json/notes"), "mine");
}

TEST(ModelFolder, APrivateFolderStaysPrivate) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "m");
  fs::permissions(folder / "m", fs::perms::owner_all);
  write_model(folder / "m", 1);
  EXPECT_EQ(fs::status(folder / "m").permissions(), fs::perms::owner_all);
}

TEST(ModelFolder, AnOwnPlaceIsTakenWhateverIsLeftInIt) {
  const TemporaryFolder folder;
  write_model(folder / "step", 1);
  fs::remove(folder / "step/model.safetensors");
  write_file_atomic(folder / "step/NOTES.md", "mine");
  EXPECT_THROW(write_model(folder / "step", 2), IoError);
  ModelFolderWriter writer(folder / "step", Place::kOwn);
  fill(writer, 2);
  writer.commit();
  EXPECT_EQ(number_in(folder / "step"), 2);
  EXPECT_EQ(read_file(folder / "step/NOTES.md"), "mine");
  write_file_atomic(folder / "file", "x");
  EXPECT_THROW(ModelFolderWriter(folder / "file", Place::kOwn), IoError);
}

TEST(RemoveModel, LeavesWhatIsNotOfIt) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  write_file_atomic(folder / "m/optimizer.safetensors", "");
  EXPECT_TRUE(is_checkpoint(folder / "m"));
  write_file_atomic(folder / "m/config.json.rebased-tmp-00000001-00000002", "{");
  remove_model(folder / "m");
  EXPECT_FALSE(fs::exists(folder / "m"));
  write_model(folder / "m", 1);
  EXPECT_FALSE(is_checkpoint(folder / "m"));
  put_notes(folder / "m");
  remove_model(folder / "m");
  expect_notes(folder / "m");
  EXPECT_FALSE(fs::exists(folder / "m/config.json"));
}

TEST(ModelFolder, WithoutCommitNothingChanges) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  {
    ModelFolderWriter writer(folder / "m");
    fill(writer, 2);
  }
  {
    ModelFolderWriter incomplete(folder / "m");
    incomplete.write_config(Json::object());
    EXPECT_THAT([&] { incomplete.commit(); },
                ThrowsMessage<IoError>(HasSubstr("without config.json and model.safetensors")));
  }
  EXPECT_EQ(number_in(folder / "m"), 1);
  EXPECT_THAT(folder.names(), ElementsAre("m"));
}

TEST(ModelFolder, OnlyModelFoldersAndEmptyOnesAreReplaced) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "empty");
  write_model(folder / "empty", 4);
  EXPECT_EQ(number_in(folder / "empty"), 4);
  fs::create_directories(folder / "home");
  write_file_atomic(folder / "home/letter", "dear");
  write_file_atomic(folder / "file", "x");
  for (const char* name : {"home", "file"}) {
    EXPECT_THAT([&] { ModelFolderWriter writer(folder / name); },
                ThrowsMessage<IoError>(HasSubstr("is not a model folder")));
  }
  EXPECT_THROW(ModelFolderWriter(""), IoError);
  EXPECT_THROW(ModelFolderWriter(folder / "no/m"), IoError);
  EXPECT_EQ(read_file(folder / "home/letter"), "dear");
}

TEST(ModelFolder, FileNamesArePlain) {
  const TemporaryFolder folder;
  ModelFolderWriter writer(folder / "m");
  for (const char* name : {"../x", "a/b", "", "..", "."}) EXPECT_THROW(writer.write_file(name, "x"), FormatError);
}

TEST(ModelFolder, OpeningNamesWhatIsMissing) {
  const TemporaryFolder folder;
  const auto refuses = [&](const std::string& path, const std::string& message) {
    EXPECT_THAT([&] { open_model_folder(path); }, ThrowsMessage<IoError>(StartsWith(path + ": " + message)));
  };
  refuses(folder / "m", "no such folder");
  write_file_atomic(folder / "file", "x");
  refuses(folder / "file", "expected a model folder, found a file");
  fs::create_directories(folder / "m");
  refuses(folder / "m", "no config.json");
  write_file_atomic(folder / "m/config.json", "[]");
  refuses(folder / "m", "neither model.safetensors nor model.safetensors.index.json");
  write_safetensors(folder / "m/model.safetensors", {});
  EXPECT_THAT([&] { open_model_folder(folder / "m"); },
              ThrowsMessage<ConfigError>(HasSubstr("expected a JSON object")));
  write_file_atomic(folder / "m/config.json", "{");
  EXPECT_THAT([&] { open_model_folder(folder / "m"); },
              ThrowsMessage<ConfigError>(HasSubstr("config.json: parse error")));
  write_file_atomic(folder / "m/config.json", "{}");
  write_file_atomic(folder / "m/model.safetensors", "cut");
  EXPECT_THAT([&] { open_model_folder(folder / "m"); }, ThrowsMessage<FormatError>(HasSubstr("model.safetensors")));
}

TEST(ModelFolder, ShardedTensorsAreFound) {
  const TemporaryFolder folder;
  const float value = 5;
  const TensorToWrite tensor = {"w", DType::kF32, {1}, &value};
  ModelFolderWriter writer(folder / "m");
  writer.write_config(Json::object());
  writer.write_tensors({&tensor, 1}, {}, "model-00001-of-00001.safetensors");
  writer.write_file("model.safetensors.index.json", R"({"weight_map": {"w": "model-00001-of-00001.safetensors"}})");
  writer.commit();
  EXPECT_THAT(read_f32(open_model_folder(folder / "m").tensors.at("w")), ElementsAre(5));
}

TEST(ReplaceFolder, BothWaysPutTheNewFolderInPlace) {
  for (const Replacement how : {Replacement::kBest, Replacement::kTwoSteps}) {
    const TemporaryFolder folder;
    write_model(folder / "new", 1);
    replace_folder(folder / "new", folder / "m", how);
    EXPECT_EQ(number_in(folder / "m"), 1);
    write_model(folder / "new", 2);
    fs::create_directories(folder / "m.rebased-old");  // left by a process killed while it tidied up
    replace_folder(folder / "new", folder / "m", how);
    EXPECT_EQ(number_in(folder / "m"), 2);
    EXPECT_THAT(folder.names(), ElementsAre("m"));
    EXPECT_THROW(replace_folder(folder / "none", folder / "m", how), IoError);
    EXPECT_THAT(folder.names(), ElementsAre("m"));
    EXPECT_EQ(number_in(folder / "m"), 2);
  }
}

TEST(ReplaceFolder, BothWaysBringAlongWhatIsNotOfTheModel) {
  for (const Replacement how : {Replacement::kBest, Replacement::kTwoSteps}) {
    const TemporaryFolder folder;
    write_model(folder / "m", 1);
    put_notes(folder / "m");
    fs::create_directories(folder / "m.rebased-old");  // left by a process killed while it tidied up
    write_file_atomic(folder / "m.rebased-old/older.md", "older");
    write_file_atomic(folder / "m.rebased-old/config.json", "{}");
    write_model(folder / "new", 2);
    replace_folder(folder / "new", folder / "m", how);
    EXPECT_EQ(number_in(folder / "m"), 2);
    expect_notes(folder / "m");
    EXPECT_EQ(read_file(folder / "m/older.md"), "older");
    EXPECT_THAT(folder.names(), ElementsAre("m"));
  }
}

TEST(ReplaceFolder, LinksAreNeverRemoved) {
  for (const Replacement how : {Replacement::kBest, Replacement::kTwoSteps}) {
    const TemporaryFolder folder;
    write_model(folder / "m", 1);
    fs::rename(folder / "m/model.safetensors", folder / "far");
    fs::create_symlink(folder / "far", folder / "m/model.safetensors");
    write_model(folder / "new", 2);
    replace_folder(folder / "new", folder / "m", how);
    EXPECT_EQ(number_in(folder / "m"), 2);
    EXPECT_TRUE(fs::is_symlink(folder / "new/model.safetensors") ||
                fs::is_symlink(folder / "m.rebased-old/model.safetensors"));
    EXPECT_TRUE(fs::exists(folder / "far"));
  }
}

TEST(ReplaceFolder, WhatTheFirstOfTwoStepsLeavesIsRecovered) {
  const TemporaryFolder folder;
  write_model(folder / "m", 1);
  fs::rename(folder / "m", folder / "m.rebased-old");
  EXPECT_EQ(number_in(folder / "m"), 1);
  fs::rename(folder / "m", folder / "m.rebased-old");
  { ModelFolderWriter writer(folder / "m"); }
  EXPECT_EQ(number_in(folder / "m"), 1);
  fs::rename(folder / "m", folder / "m.rebased-old");
  write_model(folder / "new", 2);
  replace_folder(folder / "new", folder / "m", Replacement::kTwoSteps);
  EXPECT_EQ(number_in(folder / "m"), 2);
  EXPECT_THAT(folder.names(), ElementsAre("m"));
}

// A child replaces the folder again and again, reporting each commit, until it is killed.
[[noreturn]] void replace_forever(const std::string& path, int report, Replacement how) {
  for (int64_t number = 1;; ++number) {
    const std::string next = path + ".next";
    fs::remove_all(next);
    write_model(next, number);
    replace_folder(next, path, how);
    if (::write(report, "x", 1) != 1) ::_exit(1);
  }
}

TEST(ReplaceFolder, AKilledProcessLeavesAWholeModel) {
  for (int round = 0; round < 6; ++round) {
    const TemporaryFolder folder;
    write_model(folder / "m", 0);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      replace_forever(folder / "m", ends[1], round % 2 == 0 ? Replacement::kBest : Replacement::kTwoSteps);
    ::close(ends[1]);
    char seen = 0;
    int64_t reported = 0;
    for (int i = 0; i <= round; ++i) reported += ::read(ends[0], &seen, 1);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    ::close(ends[0]);
    EXPECT_EQ(reported, round + 1);
    EXPECT_GE(number_in(folder / "m"), reported);
  }
}

}  // namespace
}  // namespace rebased
