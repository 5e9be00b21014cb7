#pragma once

#include <cstdint>

namespace rebased::kernels {

// Documents inside the rows of a batch are told to a kernel by `positions` [B, T], or null: each row is one document
// that continues the caller's state. Else positions[b,t] is the place of a token in its document, -1 for padding. A
// document begins where the position before it is not the one before; at position 0 with nothing behind it, at a later
// one, which only the first document of a row may have, with the row's state. The last document of a row leaves its
// state in the row's place; a row without documents leaves the state as it was.

// Tokens [begin, end) of a row.
struct Document {
  int64_t row, begin, end;
  bool continues;  // the row's state
  bool last;       // of its row
};

// f(document) for each document of a row in order; how many there are.
template <class Function>
int64_t for_documents(const int64_t* positions, int64_t row, int64_t T, const Function& f) {
  const int64_t* own = positions + row * T;
  int64_t behind = T, count = 0;
  while (behind > 0 && own[behind - 1] < 0) --behind;
  for (int64_t t = 0; t < behind; ++count) {
    while (own[t] < 0) ++t;
    const int64_t begin = t++;
    while (t < behind && own[t] == own[t - 1] + 1) ++t;
    f(Document{row, begin, t, own[begin] > 0, t == behind});
  }
  return count;
}

}  // namespace rebased::kernels
