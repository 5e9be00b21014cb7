#pragma once

#include <algorithm>
#include <functional>

#include "base/threads.h"
#include "cores/linear_attention/documents.h"
#include "kernels/causal/problem.h"

// Documents on threads: rows side by side, each on one thread, where there are enough of them; else one document after
// the other, each on all threads.
namespace rebased::kernels::cpu::attention {

template <class Args>
bool rows_side_by_side(const Args& x) {
  return x.B >= thread_count();
}

// Documents of plain features take chunks even where pairs are a little fewer: the chunked form runs ahead of its
// memory.
inline Problem chunked_if_plain(Problem x) {
  if (x.form == Form::kAuto && plain(x) && x.T > kTile) x.form = Form::kChunked;
  return x;
}

// problem(document) -> Problem
template <class Args, class ProblemOf>
int64_t documents_scratch(const Args& x, bool backward, const ProblemOf& problem_of_document) {
  const bool side_by_side = rows_side_by_side(x);
  int64_t most = 0, length = -1;
  for (int64_t row = 0; row < x.B; ++row) {
    for_documents(x.positions, row, x.T, [&](const Document& d) {
      if (!d.continues && !d.last && d.end - d.begin == length) return;  // as the one before
      length = d.continues || d.last ? -1 : d.end - d.begin;
      Problem problem = chunked_if_plain(problem_of_document(d));
      if (side_by_side) problem.threads = 1;
      most = std::max(most, scratch_floats(problem, backward));
    });
  }
  return side_by_side ? most * thread_count() : most;
}

// pass(row, threads, scratch) for each row; `floats` as documents_scratch says.
template <class Args, class Pass>
void on_rows(const Args& x, int64_t floats, float* scratch, const Pass& pass) {
  if (!rows_side_by_side(x)) {
    for (int64_t row = 0; row < x.B; ++row) pass(row, 0, scratch);
    return;
  }
  const int64_t own = floats / thread_count();
  const auto body = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) pass(row, 1, scratch + thread_index() * own);
  };
  parallel_runs(x.B, 1, std::ref(body));
}

// The two passes of a core whose arguments `problem_of` makes a Problem of.
template <class Args, class ProblemOf>
void forward_documents(const Args& x, const ProblemOf& problem_of) {
  const int64_t floats =
      documents_scratch(x, false, [&](const Document& d) { return problem_of(document_args(x, d)); });
  on_rows(x, floats, x.scratch, [&](int64_t row, int threads, float* scratch) {
    run_documents(x, row, [&](const Args& document) {
      Problem problem = chunked_if_plain(problem_of(document));
      problem.threads = threads, problem.scratch = scratch;
      forward(problem);
    });
  });
}

template <class GradArgs, class ProblemOf>
void backward_documents(const GradArgs& grad, const ProblemOf& problem_of) {
  const auto of_document = [&](const Document& d) { return problem_of(document_grad_args(grad, d)); };
  const int64_t floats = documents_scratch(grad.forward, true, of_document);
  on_rows(grad.forward, floats, grad.scratch, [&](int64_t row, int threads, float* scratch) {
    run_document_grads(grad, row, [&](const GradArgs& document) {
      Problem problem = chunked_if_plain(problem_of(document));
      problem.threads = threads, problem.scratch = scratch;
      backward(problem);
    });
  });
}

}  // namespace rebased::kernels::cpu::attention
