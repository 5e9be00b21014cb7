#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/tools/documents.h"

// Passes of linear and quadratic attention over rows that hold several documents, each of them as a batch of one row.
namespace rebased::kernels {

namespace documents {

template <class T>
T* shifted(T* x, int64_t elements) {
  return x == nullptr ? nullptr : x + elements;
}

// The states that a document of row d.row reads and leaves: pointers to [B, H, F, Dv] and [B, H, F].
template <class Args, class Pointer>
void place_states(const Args& all, int64_t row, bool wanted, Pointer& s, Pointer& z) {
  const int64_t features = all.H * state_features(all);
  s = wanted ? shifted(s, row * features * all.Dv) : nullptr;
  z = wanted ? shifted(z, row * features) : nullptr;
}

}  // namespace documents

// The arguments of one document of `all`.
template <class Args>
Args document_args(const Args& all, const Document& d) {
  using documents::shifted;
  Args one = all;
  const int64_t token = (d.row * all.T + d.begin) * all.H;
  one.B = 1, one.T = d.end - d.begin, one.positions = nullptr;
  one.q = all.q + token * key_dim(all), one.k = all.k + token * key_dim(all), one.v = all.v + token * all.Dv;
  one.o = shifted(all.o, token * all.Dv), one.z = shifted(all.z, token);
  documents::place_states(all, d.row, d.continues, one.s0, one.z0);
  documents::place_states(all, d.row, d.last, one.sT, one.zT);
  return one;
}

template <class GradArgs>
GradArgs document_grad_args(const GradArgs& all, const Document& d) {
  GradArgs one = all;
  const auto& x = all.forward;
  const int64_t token = (d.row * x.T + d.begin) * x.H;
  one.forward = document_args(x, d);
  one.d_o = all.d_o + token * x.Dv;
  one.dq = all.dq + token * key_dim(x), one.dk = all.dk + token * key_dim(x), one.dv = all.dv + token * x.Dv;
  documents::place_states(x, d.row, d.last, one.d_sT, one.d_zT);
  documents::place_states(x, d.row, d.continues, one.d_s0, one.d_z0);
  return one;
}

// f(document) for each document of a row, padding(token, count) for the tokens between them.
template <class Args, class OfDocument, class OfPadding>
int64_t documents_and_padding(const Args& x, int64_t row, const OfDocument& f, const OfPadding& padding) {
  int64_t done = 0;
  const int64_t count = for_documents(x.positions, row, x.T, [&](const Document& d) {
    padding(row * x.T + done, d.begin - done);
    f(d);
    done = d.end;
  });
  padding(row * x.T + done, x.T - done);
  return count;
}

namespace documents {

template <class Real>
void copy_or_clear(const Real* from, int64_t n, Real* to) {
  if (to == nullptr || to == from) return;
  from != nullptr ? std::copy_n(from, n, to) : std::fill_n(to, n, Real(0));
}

}  // namespace documents

// Forward over the documents of a row, run(arguments) for each; padding puts out zeros.
template <class Args, class Run>
void run_documents(const Args& x, int64_t row, const Run& run) {
  const auto clear = [&](int64_t token, int64_t tokens) {
    std::fill_n(x.o + token * x.H * x.Dv, tokens * x.H * x.Dv, 0);
    if (x.z != nullptr) std::fill_n(x.z + token * x.H, tokens * x.H, 0);
  };
  const int64_t count = documents_and_padding(
      x, row, [&](const Document& d) { run(document_args(x, d)); }, clear);
  if (count > 0 || x.sT == nullptr) return;
  Args kept = x;
  documents::place_states(x, row, true, kept.s0, kept.z0);
  documents::place_states(x, row, true, kept.sT, kept.zT);
  documents::copy_or_clear(kept.s0, x.H * state_features(x) * x.Dv, kept.sT);
  documents::copy_or_clear(kept.z0, x.H * state_features(x), kept.zT);
}

// The gradient over the documents of a row.
template <class GradArgs, class Run>
void run_document_grads(const GradArgs& grad, int64_t row, const Run& run) {
  const auto& x = grad.forward;
  const auto clear = [&](int64_t token, int64_t tokens) {
    const int64_t at = token * x.H, n = tokens * x.H;
    std::fill_n(grad.dq + at * key_dim(x), n * key_dim(x), 0);
    std::fill_n(grad.dk + at * key_dim(x), n * key_dim(x), 0);
    std::fill_n(grad.dv + at * x.Dv, n * x.Dv, 0);
  };
  bool read = false;
  const auto of_document = [&](const Document& d) {
    read = read || d.continues;
    run(document_grad_args(grad, d));
  };
  const bool passed_on = documents_and_padding(x, row, of_document, clear) == 0;
  if (read || grad.d_s0 == nullptr) return;
  GradArgs kept = grad;
  documents::place_states(x, row, passed_on, kept.d_sT, kept.d_zT);
  documents::place_states(x, row, true, kept.d_s0, kept.d_z0);
  documents::copy_or_clear(kept.d_sT, x.H * state_features(x) * x.Dv, kept.d_s0);
  documents::copy_or_clear(kept.d_zT, x.H * state_features(x), kept.d_z0);
}

// The same over every row; the arguments themselves where there are no positions.
template <class Args, class Run>
void over_documents(const Args& x, const Run& run) {
  if (x.positions == nullptr) return run(x);
  for (int64_t row = 0; row < x.B; ++row) run_documents(x, row, run);
}

template <class GradArgs, class Run>
void grads_over_documents(const GradArgs& grad, const Run& run) {
  if (grad.forward.positions == nullptr) return run(grad);
  for (int64_t row = 0; row < grad.forward.B; ++row) run_document_grads(grad, row, run);
}

}  // namespace rebased::kernels
