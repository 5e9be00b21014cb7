#include "base/log.h"

#include <gtest/gtest.h>

#include <string>

namespace rebased {
namespace {

TEST(Log, WritesPlainLinesToStderrAboveTheLevel) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  set_log_level(LogLevel::kWarning);
  log_info("dropped {}", 1);
  log_warning("kept {}", 2);
  log_error("kept {{}} too");
  set_log_level(LogLevel::kOff);
  log_error("dropped");
  set_log_level(LogLevel::kDebug);
  log_debug("kept {}", 3);
  set_log_level(LogLevel::kInfo);
  log_debug("dropped");
  log_info("kept {}", 4);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "warning: kept 2\nerror: kept {} too\ndebug: kept 3\ninfo: kept 4\n");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

}  // namespace
}  // namespace rebased
