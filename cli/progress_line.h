// ProgressLine shows how far a long operation has come: on a terminal one line
// of standard error that is written over, with rate and time left; elsewhere a
// plain line every ten seconds.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace vigie::cli {

// "1.5 GiB" for bytes, "12.3 M series" for anything else.
std::string AmountText(uint64_t amount, std::string_view unit);

class ProgressLine {
 public:
  // `out` and `clock` outlive the object. `width`: columns of the terminal, 0
  // if `out` is none.
  ProgressLine(std::FILE* out, int width, const Clock& clock);
  ~ProgressLine() { Clear(); }

  // Of standard error; 0 if it is no terminal.
  static int WidthOfStderr();

  void Update(std::string_view what, uint64_t done, uint64_t total,
              std::string_view unit);
  // Takes the line off the screen, so that something else can be printed.
  void Clear();

 private:
  std::string Text(uint64_t done, uint64_t total, std::string_view unit) const;

  std::FILE* const out_;
  const int width_;
  const Clock& clock_;
  std::string what_;
  int64_t started_ns_ = 0;  // of what_
  uint64_t started_done_ = 0;
  int64_t shown_ns_ = 0;
  bool on_screen_ = false;
};

}  // namespace vigie::cli
