#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <numeric>
#include <span>

#include "base/error.h"
#include "base/finite.h"
#include "base/log.h"
#include "base/threads.h"
#include "engine/tape/tape_engine.h"
#include "io/file.h"
#include "record/text.h"
#include "train/data_source.h"
#include "train/recipe_size.h"
#include "train/schedule.h"

namespace rebased {
namespace {

// Half as many at L 256 took 245 instead of 254 MB, at 37 to 40 instead of 50 to 62 % of the rate of products
// (docs/tuning.md).
constexpr int64_t kTokensPerPass = 6144;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<float> host_copy(const Value& x) {
  std::vector<float> numbers(static_cast<size_t>(x.shape().numel()));
  x.engine().to_host(x, numbers.data(), DType::kF32);
  return numbers;
}

bool is_finite(const Value& x) {
  const std::span<const float> numbers = x.engine().host_view(x);
  return numbers.empty() ? all_finite(host_copy(x)) : all_finite(numbers);
}

std::unique_ptr<SequenceModel> build_model(const Recipe& recipe, Engine& engine) {
  auto model = std::make_unique<SequenceModel>(recipe.model);
  model->parameters().initialise(engine, static_cast<uint64_t>(recipe.seed));
  return model;
}

}  // namespace

Precision precision_of(const Recipe& recipe) { return recipe.precision == "bf16" ? Precision::kBF16 : Precision::kF32; }

void apply_threads(const Recipe& recipe) {
  set_thread_count(recipe.threads > 0 ? static_cast<int>(recipe.threads) : thread_count());
}

std::unique_ptr<Engine> make_tape_engine(const Recipe& recipe) {
  if (recipe.device != "cpu") throw ConfigError("device: expected cpu, found {}", recipe.device);
  apply_threads(recipe);
  return std::make_unique<TapeEngine>(precision_of(recipe));
}

int64_t micro_batch_rows(const Recipe& recipe, int64_t T) {
  const int64_t rows =
      recipe.train.micro_batch > 0 ? recipe.train.micro_batch : std::max<int64_t>(1, kTokensPerPass / T);
  return std::min(rows, recipe.train.batch_size);
}

Trainer::Trainer(const Recipe& recipe, std::unique_ptr<Engine> engine, std::optional<RunFolder> folder,
                 const std::atomic<bool>& stop)
    : recipe_(recipe),
      folder_(std::move(folder)),
      stop_(stop),
      engine_(std::move(engine)),
      data_(data_source(recipe.data).open(recipe)),
      judge_(data_source(recipe.data).scores().front()),
      steps_per_epoch_(steps_per_epoch(recipe)),
      model_(build_model(recipe, *engine_)),
      optimizer_(model_->parameters(), *engine_, recipe.optimizer) {}

int64_t Trainer::total_steps() const {
  return recipe_.train.steps > 0 ? recipe_.train.steps : recipe_.train.epochs * steps_per_epoch_;
}

int64_t Trainer::eval_interval() const {
  if (recipe_.train.eval_every > 0) return recipe_.train.eval_every;
  return steps_per_epoch_ > 0 ? steps_per_epoch_ : std::max<int64_t>(1, total_steps() / 20);
}

double Trainer::epoch_of(int64_t step) const {
  return steps_per_epoch_ > 0 ? static_cast<double>(step) / static_cast<double>(steps_per_epoch_) : 0;
}

int64_t Trainer::resume() {
  if (load_newest() > 0) take_best();
  return state_.step;
}

// The weights of the best evaluation are in RUN/model, or are those at hand, or are lost.
void Trainer::take_best() {
  const std::optional<Evaluation> saved = saved_evaluation(folder_->model());
  const bool is_first = state_.best_step == 0;
  if (saved && saved->score.name == judge_.name && (is_first || !best().score.is_better_than(saved->score))) {
    state_.best = saved->score.value;
    state_.best_step = saved->step;
  } else if (state_.best_step == state_.step) {
    save_best();
  } else if (state_.best_step > 0) {
    log_warning("the weights of the best evaluation, {}, are not in {}{}", describe(best()), folder_->model().string(),
                state_.finished ? "" : ": from here on, the best is counted anew");
    if (!state_.finished) state_.best_step = 0;
  }
}

int64_t Trainer::load_newest() {
  std::exception_ptr newest_error;
  for (const CheckpointEntry& entry : folder_->list_checkpoints()) {
    try {
      const TrainerState found = load_checkpoint(entry.path, *engine_, *model_, optimizer_);
      if (found.step != entry.step) {
        throw FormatError("{}: expected the state of step {}, found step {}", entry.path.string(), entry.step,
                          found.step);
      }
      state_ = found;
      checkpointed_ = state_.step;
      return state_.step;
    } catch (const Error& error) {
      if (!newest_error) newest_error = std::current_exception();
      log_warning("a checkpoint is passed over: {}", error.what());
    }
  }
  if (newest_error) std::rethrow_exception(newest_error);
  return 0;
}

void Trainer::open_records() {
  const std::optional<int64_t> from = state_.step > 0 ? std::optional(state_.step) : std::nullopt;
  metrics_.emplace(folder_->metrics(), from.value_or(0));
  events_.emplace(folder_->root(), from);
}

double Trainer::lr_of(int64_t step) const {
  return learning_rate(recipe_.schedule, recipe_.optimizer.lr, step, total_steps(),
                       steps_per_epoch_ > 0 ? step / steps_per_epoch_ : 0, recipe_.train.epochs);
}

double Trainer::clip_scale(double norm) const {
  return recipe_.optimizer.clip > 0 && norm > recipe_.optimizer.clip ? recipe_.optimizer.clip / norm : 1;
}

namespace {

double number(const Value& scalar) {
  double x = 0;
  scalar.engine().to_host(scalar, &x, DType::kF64);
  return x;
}

}  // namespace

// The loss is the mean over the whole batch, so that the size of a pass changes nothing but rounding.
double Trainer::accumulate(const Batch& batch, int64_t step) {
  const int64_t rows = micro_batch_rows(recipe_, batch.tokens()), all = batch.asked();
  const uint64_t step_key = derive_key(static_cast<uint64_t>(recipe_.seed), "dropout", static_cast<uint64_t>(step));
  double loss = 0;
  loss_parts_.clear();
  for (int64_t begin = 0; begin < batch.rows; begin += rows) {
    const Batch part = batch.slice(begin, std::min(rows, batch.rows - begin));
    const int64_t asked = part.asked();
    if (asked == 0) continue;
    const Context ctx{.training = true, .dropout_key = mix64(step_key ^ static_cast<uint64_t>(begin))};
    const ModelLoss result = model_->loss(part, ctx);
    const double share = static_cast<double>(asked) / static_cast<double>(all);
    const Value weight = engine_->full(Shape{}, engine_->compute_dtype(), share);
    engine_->autograd()->backward({&result.loss, 1}, {&weight, 1});
    loss += share * number(result.loss);
    for (const auto& [name, value] : result.parts) loss_parts_[name] += share * number(value);
  }
  return loss;
}

Trainer::Step Trainer::step(int64_t step, bool with_norm) {
  optimizer_.zero_grad();
  const double loss = accumulate(data_->batch(step), step);
  const bool needs_norm = with_norm || recipe_.optimizer.clip > 0 || !std::isfinite(loss);
  const double norm = needs_norm ? optimizer_.grad_norm() : 0;
  if (!std::isfinite(loss) || !std::isfinite(norm)) {  // NaN is said without its sign
    stop_for_not_finite(step, fmt::format("step {}: the loss is {} and the gradient norm {}", step + 1, std::abs(loss),
                                          std::abs(norm)));
  }
  optimizer_.step(lr_of(step), clip_scale(norm));
  model_->after_step(step, derive_key(static_cast<uint64_t>(recipe_.seed), "after_step", static_cast<uint64_t>(step)));
  return {loss, norm};
}

double Trainer::train_step(int64_t step) {
  const bool logged = (step + 1) % recipe_.train.log_every == 0;
  const auto [loss, norm] = this->step(step, logged);
  if (logged) log_step(step + 1, loss, norm);
  if (recipe_.train.stats_every > 0 && (step + 1) % recipe_.train.stats_every == 0) log_statistics(step + 1);
  return loss;
}

void Trainer::log_step(int64_t step, double loss, double norm) {
  const double lr = lr_of(step - 1);
  Json values{{"loss", loss}, {"lr", lr}, {"grad_norm", norm}};
  for (const auto& [name, part] : loss_parts_) {
    if (loss_parts_.size() == 1) break;  // the loss itself
    values["loss." + name] = part;
    events_->scalar("train/loss." + name, step, part);
  }
  metrics_->write(step, epoch_of(step), values);
  events_->scalar("train/loss", step, loss);
  events_->scalar("train/lr", step, lr);
  events_->scalar("train/grad_norm", step, norm);
}

void Trainer::log_statistics(int64_t step) {
  Json values = Json::object();
  for (const AdamW::Slot& slot : optimizer_.slots()) {
    const std::vector<float> numbers = host_copy(slot.param->value);
    const std::string& name = slot.param->spec.name;
    events_->histogram("parameters/" + name, step, numbers);
    const auto count = static_cast<double>(numbers.size());
    const double mean = std::accumulate(numbers.begin(), numbers.end(), 0.0) / count;
    double squares = 0;
    for (float x : numbers) squares += (x - mean) * (x - mean);
    values["mean." + name] = mean;
    values["std." + name] = std::sqrt(squares / count);
  }
  metrics_->write(step, epoch_of(step), values);
}

Evaluation Trainer::judged(int64_t step, double value) const {
  Evaluation evaluation{.step = step, .score = judge_};
  evaluation.score.value = value;
  return evaluation;
}

void Trainer::save_best() {
  require_finite(state_.step);
  save_model(folder_->model(), *model_, data_->tokenizer().get(), best());
}

std::vector<Score> Trainer::evaluation() {
  try {
    return data_->evaluate(*model_, *engine_);
  } catch (const NotFiniteError& error) {
    stop_for_not_finite(state_.step, fmt::format("evaluation after step {}: {}", state_.step, error.what()));
  }
}

bool Trainer::evaluate(Progress& progress) {
  const RecordingOff off(engine_->autograd());
  const std::vector<Score> scores = evaluation();
  state_.last = scores.front().value;
  if (state_.best_step == 0 || scores.front().is_better_than(best().score)) {
    state_.best = state_.last;
    state_.best_step = state_.step;
    save_best();
  }
  Json values = Json::object();
  std::string line = fmt::format("step {}", state_.step);
  for (const Score& score : scores) {
    values[score.name] = score.value;
    events_->scalar("test/" + score.name, state_.step, score.value);
    line += fmt::format("  {} {:.4f}", score.name, score.value);
  }
  metrics_->write(state_.step, epoch_of(state_.step), values);
  say(progress, line);
  return data_->ends_run(scores);
}

void Trainer::say(Progress& progress, const std::string& line) const {
  progress.message(line);
  if (folder_) append_to_file(folder_->log().string(), line + "\n");
}

void Trainer::checkpoint() {
  if (checkpointed_ == state_.step) return;
  require_finite(state_.step);
  std::filesystem::create_directories(folder_->checkpoints());
  save_checkpoint(folder_->checkpoint(state_.step), *model_, optimizer_, state_, data_->tokenizer().get());
  checkpointed_ = state_.step;
  folder_->prune_checkpoints(recipe_.train.keep_checkpoints, state_.step);
}

TrainEnd Trainer::run(Progress& progress) {
  open_records();
  const int64_t total = total_steps();
  const std::string score = readable(judge_.name);
  const double begun = seconds_now() - state_.seconds;
  progress.begin("train", total, state_.step);
  while (state_.step < total && !state_.finished) {
    const double loss = train_step(state_.step);
    ++state_.step;
    state_.seconds = seconds_now() - begun;
    progress.update(state_.step, {{"loss", loss}, {score, state_.last}});
    const bool last = state_.step == total;
    const bool due = state_.step % eval_interval() == 0 || last;
    if (due) state_.finished = evaluate(progress) || last;
    const int64_t every = recipe_.train.checkpoint_every;
    if (every > 0 ? state_.step % every == 0 || state_.finished : due) checkpoint();
    if (stop_ && !state_.finished) {
      checkpoint();
      progress.finish();
      return TrainEnd::kInterrupted;
    }
  }
  progress.finish();
  const Evaluation last = judged(state_.step, state_.last);
  save_model(folder_->last(), *model_, data_->tokenizer().get(), last);
  if (!saved_evaluation(folder_->model())) save_model(folder_->model(), *model_, data_->tokenizer().get(), last);
  return TrainEnd::kFinished;
}

std::string Trainer::first_not_finite() {
  for (const Param& param : model_->parameters().params()) {
    if (!is_finite(param.value)) return "parameter " + param.spec.name;
  }
  for (const AdamW::Slot& slot : optimizer_.slots()) {
    const std::string& name = slot.param->spec.name;
    if (const Value gradient = optimizer_.gradient(slot); gradient && !is_finite(gradient)) {
      return "the gradient of " + name;
    }
    if (!is_finite(slot.m) || !is_finite(slot.v)) return "a moment of " + name;
  }
  return "";
}

void Trainer::require_finite(int64_t updates) {
  if (first_not_finite().empty()) return;
  stop_for_not_finite(updates, fmt::format("step {}: the update left numbers that are not finite", updates));
}

// Weights after so many updates have failed: a checkpoint of theirs is not a good one.
void Trainer::stop_for_not_finite(int64_t updates, const std::string& what) {
  const std::string culprit = first_not_finite();
  std::string message =
      fmt::format("{}; first not finite: {}", what, culprit.empty() ? "no parameter, gradient or moment" : culprit);
  if (folder_) {
    const auto entries = folder_->list_checkpoints();
    const auto good = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.step < updates; });
    message += "; last good checkpoint: " + (good == entries.end() ? "none" : good->path.string());
  }
  throw NotFiniteError(message);
}

}  // namespace rebased
