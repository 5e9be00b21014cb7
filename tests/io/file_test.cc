#include "io/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "io/file_lock.h"
#include "io/resident_memory.h"
#include "io/temporary_folder.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(MappedFile, HoldsTheBytesEvenWhenTheFileIsReplaced) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a", "first");
  const auto mapped = MappedFile::open(folder / "a");
  write_file_atomic(folder / "a", "2nd");
  EXPECT_EQ(text_of(mapped->bytes()), "first");
  EXPECT_EQ(text_of(MappedFile::open(folder / "a")->bytes()), "2nd");
}

TEST(MappedFile, AcceptsAnEmptyFileAndNamesWhatItRefuses) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder / "empty")->bytes().empty());
  EXPECT_THAT([&] { MappedFile::open(folder / "none"); },
              ThrowsMessage<IoError>(HasSubstr(folder / "none: cannot open: No such file")));
  EXPECT_THAT([&] { MappedFile::open(folder.path()); },
              ThrowsMessage<IoError>(HasSubstr("expected a file, found a folder")));
}

TEST(MappedFile, ReleasedPagesLeaveMemoryAndComeBack) {
  const TemporaryFolder folder;
  constexpr size_t kSize = size_t{8} << 20, kEdge = 5000;
  const std::string bytes(kSize, 'x');
  write_file_atomic(folder / "a", bytes);
  const auto mapped = MappedFile::open(folder / "a");
  EXPECT_EQ(text_of(mapped->bytes()), bytes);
  const int64_t before = resident_file_bytes();
  release_pages(mapped->bytes().subspan(kEdge, 100));  // no whole page
  EXPECT_GT(resident_file_bytes(), before - int64_t{1 << 20});
  release_pages(mapped->bytes().subspan(kEdge, kSize - 2 * kEdge));
  EXPECT_LT(resident_file_bytes(), before - int64_t{7 << 20});
  EXPECT_EQ(text_of(mapped->bytes()), bytes);
}

TEST(ReadFile, ReadsEverySizeAndNamesWhatItRefuses) {
  const TemporaryFolder folder;
  for (const size_t size : {0u, 1u, 65535u, 65536u, 65537u, 300000u}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
    write_file_atomic(folder / "a", bytes);
    EXPECT_EQ(read_file(folder / "a"), bytes);
  }
  EXPECT_THAT([&] { read_file(folder / "none"); }, ThrowsMessage<IoError>(HasSubstr(folder / "none: cannot open")));
  EXPECT_THAT([&] { read_file(folder.path()); }, ThrowsMessage<IoError>(HasSubstr("expected a file, found a folder")));
}

// None of these is waited for, though nobody ever writes to the pipe.
TEST(Inputs, WhatIsNoFileIsNamed) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT([&] { MappedFile::open(pipe); }, ThrowsMessage<IoError>(HasSubstr("expected a file, found a pipe")));
  EXPECT_THAT([&] { read_file(pipe); }, ThrowsMessage<IoError>(HasSubstr(pipe + ": nothing came out of this pipe")));
  for (const char* device : {"/dev/null", "/dev/zero"}) {
    EXPECT_THAT([&] { MappedFile::open(device); },
                ThrowsMessage<IoError>(HasSubstr("expected a file, found a device")));
    EXPECT_THAT([&] { read_file(device); }, ThrowsMessage<IoError>(HasSubstr("expected a file, found a device")));
  }
}

TEST(Inputs, APipeWithAWriterIsReadToItsEnd) {
  const std::string bytes = std::string(300000, 'x') + '\0';
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the reader waits for the first byte
    EXPECT_EQ(::write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(ends[1]);
  });
  const std::string path = "/dev/fd/" + std::to_string(ends[0]);
  EXPECT_EQ(read_file(path), bytes);
  writer.join();
  EXPECT_THAT([&] { read_file(path); }, ThrowsMessage<IoError>(HasSubstr("or it was read before")));
  ::close(ends[0]);
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("ne");
    EXPECT_EQ(read_file(folder / "a"), "old");
    EXPECT_EQ(folder.names().size(), 2u);  // the temporary lies in the same folder
    file.write("w");
    file.commit();
    EXPECT_EQ(read_file(folder / "a"), "new");
    EXPECT_THROW(file.write("more"), IoError);
    EXPECT_THROW(file.commit(), IoError);
  }
  EXPECT_THAT(folder.names(), ElementsAre("a"));
  EXPECT_EQ(read_file(folder / "a"), "new");
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  { AtomicFile(folder / "a").write("half"); }
  EXPECT_THAT(folder.names(), ElementsAre());
}

TEST(AtomicFile, TwoWritersOfOneFileDoNotMix) {
  const TemporaryFolder folder;
  AtomicFile one(folder / "a"), two(folder / "a");
  one.write("one");
  two.write("two");
  two.commit();
  EXPECT_EQ(read_file(folder / "a"), "two");
  one.commit();
  EXPECT_EQ(read_file(folder / "a"), "one");
}

TEST(AtomicFile, WritesWhatALinkNamesAndKeepsTheLink) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "far");
  write_file_atomic(folder / "far/a", "old");
  fs::create_symlink("far/a", folder / "there");
  fs::create_symlink("there", folder / "twice");
  fs::create_symlink("far/new", folder / "dangling");
  fs::create_symlink("circle", folder / "circle");
  write_file_atomic(folder / "twice", "1");
  EXPECT_EQ(read_file(folder / "far/a"), "1");
  write_file_atomic(folder / "dangling", "2");
  EXPECT_EQ(read_file(folder / "far/new"), "2");
  EXPECT_THAT([&] { write_file_atomic(folder / "circle", "3"); }, ThrowsMessage<IoError>(HasSubstr("back to itself")));
  for (const char* link : {"there", "twice", "dangling"}) EXPECT_TRUE(fs::is_symlink(folder / link)) << link;
}

TEST(AtomicFile, ReplacesNothingButFiles) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  fs::create_symlink("/dev/null", folder / "null");
  for (const char* name : {"fifo", "null"}) {
    EXPECT_THAT([&] { AtomicFile(folder / name); },
                ThrowsMessage<IoError>(HasSubstr("cannot replace: expected a file, found a folder or a device")));
  }
  EXPECT_THAT(folder.names(), ElementsAre("fifo", "null"));
}

TEST(AppendToFile, MakesTheFileAndAddsToIt) {
  const TemporaryFolder folder;
  append_to_file(folder / "log", "one\n");
  append_to_file(folder / "log", "two\n");
  EXPECT_EQ(read_file(folder / "log"), "one\ntwo\n");
}

TEST(AppendToFile, NeverWaitsForAPipe) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THROW(append_to_file(folder / "fifo", "x"), IoError);
  EXPECT_THROW(append_to_file(folder / "missing/log", "x"), IoError);
  EXPECT_THROW(append_to_file("", "x"), IoError);
}

TEST(TemporaryName, IsKnownByItsWholeEnding) {
  const std::string name = temporary_name("step-000003");
  EXPECT_EQ(name_before_temporary(name), "step-000003");
  EXPECT_NE(name, temporary_name("step-000003"));
  EXPECT_EQ(name_before_temporary("a.rebased-tmp-0123abcd-89efcdab"), "a");
  for (const char* other :
       {"", "a", "thesis.tmp-2024", "a.tmp-12-ab", ".rebased-tmp-0123abcd-89efcdab", "a.rebased-tmp-0123abcd-89efcda",
        "a.rebased-tmp-0123abcd-89efcdabc", "a.rebased-tmp-0123ABCD-89efcdab", "a.rebased-tmp-0123abcd-89efcdab.txt",
        "a.rebased-tmp-0123abcd_89efcdab", "a.rebased-old", "a.rebased-tmp-notes-of-monday"}) {
    EXPECT_EQ(name_before_temporary(other), std::nullopt) << other;
  }
}

TEST(FileLock, HasOneHolderUntilItLetsGo) {
  const TemporaryFolder folder;
  auto held = FileLock::take(folder / "lock");
  ASSERT_TRUE(held.has_value());
  EXPECT_FALSE(FileLock::take(folder / "lock").has_value());
  held.reset();
  EXPECT_TRUE(FileLock::take(folder / "lock").has_value());
  EXPECT_THROW(FileLock::take(folder / "no/lock"), IoError);
}

TEST(FileLock, AKilledProcessLetsGo) {
  const TemporaryFolder folder;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto held = FileLock::take(folder / "lock");
    if (!held || ::write(ends[1], "x", 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char seen = 0;
  ASSERT_EQ(::read(ends[0], &seen, 1), 1);
  EXPECT_FALSE(FileLock::take(folder / "lock").has_value());
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(FileLock::take(folder / "lock").has_value());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(AtomicFile, FollowsTheUmask) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  write_file_atomic(folder / "a", "x");
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0640u);
}

TEST(AtomicFile, NamesWhatFailsAndKeepsTheOldFile) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { write_file_atomic(folder / "no/a", "x"); }, ThrowsMessage<IoError>(HasSubstr("cannot create")));
  ::mkdir((folder / "taken").c_str(), 0777);
  EXPECT_THAT([&] { write_file_atomic(folder / "taken", "x"); }, ThrowsMessage<IoError>(HasSubstr("cannot replace")));
  EXPECT_THAT(folder.names(), ElementsAre("taken"));
}

TEST(AtomicFile, AFullDiskLeavesTheOldFile) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  // A limit on the size of files stands in for a full disk.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1000, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THAT([&] { write_file_atomic(folder / "a", std::string(5000, 'x')); },
              ThrowsMessage<IoError>(HasSubstr("cannot write")));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

// The published values for the empty input and "abc".
TEST(Hash, IsXxh64) {
  const TemporaryFolder folder;
  EXPECT_EQ(xxh64({}), 0xef46db3751d8e999u);
  write_file_atomic(folder / "a", "abc");
  EXPECT_EQ(xxh64_of_file(folder / "a"), 0x44bc2cf5ad770999u);
  EXPECT_THROW(xxh64_of_file(folder / "none"), IoError);
}

}  // namespace
}  // namespace rebased
