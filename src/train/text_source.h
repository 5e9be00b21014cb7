#pragma once

#include "train/data_source.h"

namespace rebased {

// Text learned byte by byte: judged by the bits per byte of its validation part.
const DataSource& text_source();

}  // namespace rebased
