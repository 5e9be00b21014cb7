#include "base/cores.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace rebased {
namespace {

namespace fs = std::filesystem;

// A folder like /sys/fs/cgroup.
class Cores : public ::testing::Test {
 protected:
  Cores() { fs::create_directories(mount_); }
  ~Cores() override { fs::remove_all(mount_); }
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((mount_ / file).parent_path());
    std::ofstream(mount_ / file) << text << '\n';
  }

  fs::path mount_ = fs::temp_directory_path() / ("rebased-cores-" + std::to_string(::getpid()));
};

TEST_F(Cores, AtLeastOneIsUsable) { EXPECT_GE(usable_cores(), 1); }

TEST_F(Cores, AQuotaOfVersion2IsRead) {
  write("user.slice/run.scope/cpu.max", "100000 100000");
  EXPECT_EQ(quota_in_cores("0::/user.slice/run.scope\n", mount_), 1.0);
  write("user.slice/run.scope/cpu.max", "150000 100000");
  EXPECT_EQ(quota_in_cores("0::/user.slice/run.scope\n", mount_), 1.5);
}

TEST_F(Cores, TheSmallestQuotaOnTheWayUpCounts) {
  write("a/cpu.max", "50000 100000");
  write("a/b/cpu.max", "400000 100000");
  EXPECT_EQ(quota_in_cores("0::/a/b\n", mount_), 0.5);
  write("a/cpu.max", "max 100000");
  EXPECT_EQ(quota_in_cores("0::/a/b\n", mount_), 4.0);
}

TEST_F(Cores, InAContainerTheTopOfTheMountCounts) {
  write("cpu.max", "200000 100000");
  EXPECT_EQ(quota_in_cores("0::/\n", mount_), 2.0);
  EXPECT_EQ(quota_in_cores("0::/the/host/calls/it/so\n", mount_), 2.0);
}

TEST_F(Cores, AQuotaOfVersion1IsRead) {
  write("cpu,cpuacct/docker/1/cpu.cfs_quota_us", "100000");
  write("cpu,cpuacct/docker/1/cpu.cfs_period_us", "50000");
  const std::string groups = "12:cpuset:/\n4:cpu,cpuacct:/docker/1\n0::/\n";
  EXPECT_EQ(quota_in_cores(groups, mount_), 2.0);
  write("cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(quota_in_cores(groups, mount_), std::nullopt);
}

TEST_F(Cores, WithoutAQuotaThereIsNone) {
  EXPECT_EQ(quota_in_cores("0::/a\n", mount_), std::nullopt);
  write("a/cpu.max", "max 100000");
  EXPECT_EQ(quota_in_cores("0::/a\n", mount_), std::nullopt);
}

TEST_F(Cores, WhatIsNotAQuotaIsNone) {
  for (const char* text : {"", "0 100000", "100000 0", "x y", "100000", "-5 100000", "nan 1"}) {
    write("a/cpu.max", text);
    EXPECT_EQ(quota_in_cores("0::/a\n", mount_), std::nullopt) << text;
  }
  for (const char* groups : {"", "\n", "0", "0:", ":::::", "0::", "garbage\n\n"}) quota_in_cores(groups, mount_);
}

}  // namespace
}  // namespace rebased
