#include <malloc.h>

#include "base/error.h"
#include "base/threads.h"
#include "engine/torch/torch_engine.h"
#include "train/trainer.h"
#include "train_cli/commands.h"

namespace rebased {
namespace {

// Activations of tens of megabytes come and go every step: kept by the process instead of being returned to the system,
// they cost no page faults.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

// "torch:cpu" is libtorch's own. A device that this libtorch has no code for, or the machine lacks, is found out now.
torch::Device device_of(const Recipe& recipe) {
  const std::string prefix = "torch:";
  const bool prefixed = recipe.device.rfind(prefix, 0) == 0;
  try {
    const torch::Device device(prefixed ? recipe.device.substr(prefix.size()) : recipe.device);
    torch::empty({1}).to(device);
    return device;
  } catch (const c10::Error& e) {
    const std::string reason = e.what_without_backtrace();
    throw ConfigError("device: expected cpu or a device of libtorch such as cuda:0 or torch:cpu, found {}: {}",
                      recipe.device, reason.substr(0, reason.find(". ")));
  }
}

std::unique_ptr<Engine> make_engine(const Recipe& recipe) {
  if (recipe.device == "cpu") return make_tape_engine(recipe);
  apply_threads(recipe);
  torch::set_num_threads(thread_count());
  return std::make_unique<TorchEngine>(torch::kFloat32, device_of(recipe), true, precision_of(recipe));
}

}  // namespace
}  // namespace rebased

int main(int argc, char** argv) {
  rebased::keep_freed_memory();
  return rebased::run_trainer("rebased-train-torch", argc, argv, rebased::make_engine);
}
