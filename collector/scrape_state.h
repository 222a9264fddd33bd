// ScrapeState remembers what the store knows of one target: which series it
// exposed last, by the text they were exposed with, so that a scrape of known
// series builds no labels; and turns a scrape into one batch, with `up`, the
// scrape_* series and staleness markers for what is gone.
//
// Compose -> (append) -> Settle, in turn. Between the two nothing else may be
// called.
// Thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "base/strings.h"
#include "collector/scrape_config.h"
#include "collector/text_format.h"
#include "model/labels.h"
#include "store/appender.h"

namespace vigie::collector {

// What the network gave.
struct Scrape {
  int64_t time_ms = 0;
  double duration_s = 0;
  absl::Status status;  // if not OK there is no body
  std::string body;
  TextFormat format = TextFormat::kPrometheus;
};

// What became of a scrape's text.
struct ScrapeReading {
  absl::Status status;       // OK: the target is up
  std::string_view outcome;  // "ok", "malformed", "sample_limit", ...
  uint64_t samples = 0;      // read, up to an error
};

class ScrapeState {
 public:
  // `labels` are the target's; `group` keeps its samples together.
  ScrapeState(Labels labels, std::string group);

  // Replaces `*batch`. Where the scrape or its text is at fault, nothing of
  // the text is in the batch: up is 0 and every series ends. The text's own
  // errors are `exposition: line:column: ...`.
  ScrapeReading Compose(const ScrapeJob& job, const Scrape& scrape,
                        store::AppendBatch* batch);

  // Takes what became of the batch. A batch comes back if the store asked for
  // labels of series sent by reference: append it and settle again. After a
  // batch that was refused whole, what it ended is ended by the next one.
  std::optional<store::AppendBatch> Settle(const ScrapeJob& job,
                                           const store::AppendOutcome& outcome);

  // Ends every series; for a target that is no more. No Settle follows.
  store::AppendBatch Retire(int64_t time_ms);

  size_t known_series() const { return known_.size(); }
  const std::string& group() const { return group_; }

 private:
  struct Series {
    store::SeriesRef ref;
    uint64_t scrape = 0;                     // the last one that had it
    uint32_t index = 0;                      // in the batch of that scrape
    MetricType type = MetricType::kUnknown;  // when its labels were decoded
    bool dropped = false;                    // by metric_relabel_configs
    bool alive = false;  // the store's newest sample is no staleness marker
  };
  using Known =
      absl::node_hash_map<std::string, Series, StringViewHash, std::equal_to<>>;
  struct Report {
    const char* name;
    store::SeriesRef ref;
    bool alive = false;
  };
  static constexpr size_t kReports = 5;

  // What series `i` of the batch under way is.
  struct Pending {
    Known::value_type* series = nullptr;
    Report* report = nullptr;
    Sample sample;  // the last one
    bool by_reference = false;
    bool ends = false;
    bool tracked = true;  // its absence means something
  };

  ScrapeReading Read(const ScrapeJob& job, const Scrape& scrape,
                     store::AppendBatch* batch);
  // The series of `entry`; null if its labels cannot be, with the reason.
  Known::value_type* Find(const ScrapeJob& job, const TextParser& parser,
                          const TextEntry& entry, Labels* labels,
                          ScrapeReading* reading);
  absl::Status AddSample(const ScrapeJob& job, const TextParser& parser,
                         const TextEntry& entry, int64_t time_ms,
                         Known::value_type* series, Labels labels,
                         store::AppendBatch* batch);
  absl::StatusOr<std::optional<Labels>> SampleLabels(
      const ScrapeJob& job, const TextLabels& text) const;
  void EndVanished(int64_t time_ms, store::AppendBatch* batch);
  void AddReports(const std::array<double, kReports>& values, int64_t time_ms,
                  store::AppendBatch* batch);
  void NoteMetadata(const TextEntry& entry);
  void AddMetadata(store::AppendBatch* batch);
  Labels ReportLabels(const char* name) const;

  const Labels labels_;
  const std::string group_;
  Known known_;
  std::array<Report, kReports> reports_;
  uint64_t scrape_ = 0;        // number of the one under way
  uint64_t seen_ = 0;          // different series in it
  uint64_t series_added_ = 0;  // of which the one before had none
  std::vector<Pending> pending_;

  struct Described {
    Metadata metadata;
    uint64_t scrape = 0;   // the last one that had it
    bool changed = false;  // since the store took it
  };
  StringMap<Described> metadata_;
};

}  // namespace vigie::collector
