// The day of the shop: quiet at night, a small peak at noon, a large one in the
// evening. A day is compressed, so that a minute shows several hours.
#pragma once

namespace vigie::demo {

struct RhythmOptions {
  double day_s = 600;      // shop seconds a civil day takes, > 0
  double start_hour = 10;  // hour of day at which the shop opens, [0, 24)
};

// Visits at that moment, relative to the mean of a day, which is 1.
double Rhythm(double at_s, const RhythmOptions& options);

// No moment of a day has more.
double RhythmMax();

}  // namespace vigie::demo
