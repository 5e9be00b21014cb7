#pragma once

#include <string>

#include "bench/scaling.h"
#include "bench/timing.h"
#include "config/options.h"
#include "record/table.h"

namespace rebased {

// How measurements are shown: cells of tables, rows of JSON, and the machine in front of both.
std::string giga(double value);            // "12.3" of 12.3e9
std::string milliseconds(double seconds);  // "1.250"
std::string percent(double share);         // "75.0" of 0.75
std::string spread(const Timing& timing);  // distance of the quartiles in percent of the median
Json to_json(const Timing& timing);        // {"median_s", "low_s", "high_s"}
Json to_json(const Scaling& scaling);      // {"work", "gemm"}
std::string ratio(double value);           // "1.87"

double peak_megabytes();  // resident memory of this process at its most

// Processor, instruction set, threads, BLAS and commit; then the table.
std::string bench_text(const Table& table);
// {"machine": {..}, "peak_mb": .., "rows": rows}
std::string bench_json(Json rows);

}  // namespace rebased
