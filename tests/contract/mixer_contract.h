#pragma once

#include <string>
#include <vector>

#include "contract/subject.h"

namespace rebased::testing {

// What every sequence mixer promises (src/nn/sequence_mixer.h), each promise as a function that lists how it is broken,
// so that it can be tested both ways: no violations from a good mixer, some from a broken one.
using Violations = std::vector<std::string>;

Violations check_shapes(const Subject& subject);     // [B, T, C] in and out, finite; unfit operands refused
Violations check_limits(const Subject& subject);     // documents beyond max_tokens are refused
Violations check_documents(const Subject& subject);  // packed ones come out as alone, behind a state and into one
Violations check_padding(const Subject& subject);    // in front, behind, all of a row: as if it were not there
Violations check_document_gradients(const Subject& subject);
Violations check_prefixes(const Subject& subject);           // honoured, without effect, or refused, as the traits say
Violations check_packed_weights(const Subject& subject);     // bf16, int8 and int4: the function of the rounded weights
Violations check_outputs(const Subject& subject);            // those of some tokens are those of all at these tokens
Violations check_causality(const Subject& subject);          // a changed token changes no earlier output
Violations check_rows(const Subject& subject);               // batch rows do not see each other
Violations check_splits(const Subject& subject);             // the law, outputs and final states, every engine
Violations check_state_copies(const Subject& subject);       // clone, select, join, reset_rows, detach
Violations check_state_bytes(const Subject& subject);        // arrays and bytes are said as the real state holds them
Violations check_state_files(const Subject& subject);        // saved, read and gone on with: never having stopped
Violations check_engines(const Subject& subject);            // each against the reference: outputs and final states
Violations check_kernels(const Subject& subject);            // the same: outputs and gradients
Violations check_forms(const Subject& subject);              // parallel, chunked and recurrent agree
Violations check_derivatives(const Subject& subject);        // gradients of the reference against finite differences
Violations check_every_gradient(const Subject& subject);     // every trainable parameter gets one
Violations check_carried_gradients(const Subject& subject);  // through the state, until it is detached
Violations check_output_gradients(const Subject& subject);   // and so are the gradients
Violations check_threads(const Subject& subject);            // thread count changes rounding only, repetition nothing

struct Promise {
  const char* name;
  Violations (*check)(const Subject& subject);
};
const std::vector<Promise>& promises();

}  // namespace rebased::testing
