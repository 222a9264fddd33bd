#include "collector/scraper.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "collector/ingest_counters.h"
#include "collector/scrape_state.h"
#include "collector/scrape_target.h"
#include "collector/text_format.h"

namespace vigie::collector {
namespace {

// Targets that do not answer hold a thread for their timeout each; this many
// may do so before others are late. Threads are started when needed.
constexpr size_t kThreadsMax = 128;
// What a target may expose where its job names no limit.
constexpr int64_t kBodyBytesMax = 64 << 20;
constexpr int64_t kSecretBytesMax = 64 << 10;
// A scrape this late still carries the time it was due at: even spacing packs
// better, and rates are off by less than 0.1 %.
constexpr int64_t kAlignmentMaxMs = 10;
constexpr int64_t kIdleSleepNs = 3'600'000'000'000;

// What a thread does next for a target.
enum class Task { kScrape, kSettle, kRetire };

// The smallest time from `from_ms` on that is `offset_ms` into its interval.
int64_t GridAtOrAfter(int64_t from_ms, int64_t interval_ms, int64_t offset_ms) {
  int64_t into = (from_ms - offset_ms) % interval_ms;
  if (into < 0) into += interval_ms;
  return into == 0 ? from_ms : from_ms + interval_ms - into;
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kSecretBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || in.gcount() == 0 || in.gcount() > kSecretBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("authorization: {}: cannot be read", path));
  }
  text.resize(static_cast<size_t>(in.gcount()));
  const size_t last = text.find_last_not_of(" \t\r\n");
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

absl::StatusOr<std::string> AuthorizationHeader(
    const ScrapeAuthorization& authorization) {
  std::string user = authorization.username;
  std::string secret = authorization.secret.Reveal();
  if (!authorization.username_file.empty()) {
    VIGIE_ASSIGN_OR_RETURN(user, ReadSecretFile(authorization.username_file));
  }
  if (!authorization.secret_file.empty()) {
    VIGIE_ASSIGN_OR_RETURN(secret, ReadSecretFile(authorization.secret_file));
  }
  if (authorization.type != "Basic") return authorization.type + " " + secret;
  return "Basic " + absl::Base64Escape(user + ":" + secret);
}

// What decides which series a target has: if it changes, it is another target.
bool SameSeries(const ScrapeJob& a, const ScrapeJob& b) {
  return a.honor_labels == b.honor_labels &&
         a.metric_relabel_configs == b.metric_relabel_configs;
}

prometheus::Gauge& TargetsGauge(prometheus::Registry& registry) {
  return prometheus::BuildGauge()
      .Name("vigie_scrape_targets")
      .Help("Targets that are scraped.")
      .Register(registry)
      .Add({});
}

prometheus::Counter& Counted(prometheus::Registry& registry, const char* name,
                             const char* help) {
  return prometheus::BuildCounter()
      .Name(name)
      .Help(help)
      .Register(registry)
      .Add({});
}

}  // namespace

struct Scraper::Impl {
  struct Entry {
    Entry(ScrapeTarget t, std::shared_ptr<const ScrapeJob> j)
        : target(std::move(t)),
          job(std::move(j)),
          state(target.labels, job->name + ' ' + target.url) {}

    // Replaced by Apply; guarded by mutex, as all but `state`.
    ScrapeTarget target;
    std::shared_ptr<const ScrapeJob> job;
    // Belongs to whoever has set `busy`.
    ScrapeState state;
    bool busy = false;
    bool removed = false;
    int64_t due_ns = 0;        // when not busy: the key in `due`
    int64_t last_time_ms = 0;  // of the last scrape's samples
    int64_t removed_ms = 0;
    std::string last_error;
    int64_t last_scrape_ms = 0;
    double last_duration_s = 0;
    const char* health = "unknown";
  };
  using EntryPtr = std::shared_ptr<Entry>;
  struct Work {
    Task task;
    EntryPtr entry;
    store::AppendOutcome outcome;
    uint64_t points = 0;
  };

  Impl(store::Appender& a, net::HttpClient& h, const Clock& c,
       prometheus::Registry& registry)
      : appender(a),
        http(h),
        clock(c),
        counters("scrape", c, registry),
        targets_gauge(TargetsGauge(registry)),
        intervals_missed(Counted(registry,
                                 "vigie_scrape_intervals_missed_total",
                                 "Scrapes left out because the one before took "
                                 "too long or no thread was free.")),
        scrapes_failed(Counted(registry, "vigie_scrape_failures_total",
                               "Scrapes that left their target down.")),
        appends_failed(Counted(registry, "vigie_scrape_appends_failed_total",
                               "Scrapes that the store refused whole.")),
        failure_log(c, absl::Seconds(10)),
        timer([this] { RunTimer(); }) {}

  // --- scheduling ---

  void RunTimer() {
    while (true) {
      int64_t until_ns = 0;
      std::stop_token wake_token;
      {
        MutexLock lock(mutex);
        if (stopping) return;
        const int64_t now_ns = clock.MonotonicNs();
        while (!due.empty() && due.begin()->first <= now_ns) {
          EntryPtr entry = std::move(due.begin()->second);
          due.erase(due.begin());
          entry->busy = true;
          Enqueue({Task::kScrape, std::move(entry), {}});
        }
        until_ns = due.empty() ? now_ns + kIdleSleepNs : due.begin()->first;
        wake = std::stop_source();
        wake_token = wake.get_token();
      }
      clock.SleepUntil(until_ns, wake_token);
    }
  }

  void Enqueue(Work work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    ready.push_back(std::move(work));
    if (idle_threads < ready.size() && threads.size() < kThreadsMax) {
      threads.emplace_back([this] { RunWorker(); });
    }
    work_ready.NotifyOne();
  }

  // The next scrape of the target is due at its first turn after `after_ms`
  // of the wall clock: the time of the last one, or now if there was none.
  void Schedule(const EntryPtr& entry, int64_t after_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const int64_t interval = entry->target.interval_ms;
    const int64_t offset = entry->target.OffsetMs();
    const int64_t now_ms = clock.NowMs();
    int64_t next = GridAtOrAfter(after_ms + 1, interval, offset);
    if (next + interval <= now_ms) {
      const int64_t latest =
          GridAtOrAfter(now_ms + 1, interval, offset) - interval;
      intervals_missed.Increment(
          static_cast<double>((latest - next) / interval));
      next = latest;
    } else if (next > now_ms + interval) {
      // The wall clock went back.
      next = GridAtOrAfter(now_ms, interval, offset);
    }
    entry->due_ns = clock.MonotonicNs() + (next - now_ms) * 1'000'000;
    due.emplace(entry->due_ns, entry);
    wake.request_stop();
  }

  // The scrape's place in the grid if it is on time, else the time itself.
  static int64_t AlignedMs(int64_t now_ms, const ScrapeTarget& target) {
    const int64_t tolerance =
        std::min(kAlignmentMaxMs, target.interval_ms / 100);
    const int64_t grid = GridAtOrAfter(now_ms - tolerance, target.interval_ms,
                                       target.OffsetMs());
    return std::abs(grid - now_ms) <= tolerance ? grid : now_ms;
  }

  void RunWorker() {
    mutex.Lock();
    while (true) {
      ++idle_threads;
      while (ready.empty() && !stopping) work_ready.Wait(mutex);
      --idle_threads;
      if (stopping) break;
      Work work = std::move(ready.front());
      ready.pop_front();
      mutex.Unlock();
      Run(std::move(work));
      mutex.Lock();
    }
    mutex.Unlock();
  }

  void Run(Work work) {
    switch (work.task) {
      case Task::kScrape:
        return RunScrape(work.entry);
      case Task::kSettle:
        return RunSettle(work);
      case Task::kRetire:
        return RunRetire(work.entry);
    }
  }

  // --- one scrape ---

  absl::StatusOr<net::HttpResponse> Fetch(const ScrapeJob& job,
                                          const ScrapeTarget& target) {
    net::HttpRequest request;
    request.url = target.url;
    request.timeout = absl::Milliseconds(target.timeout_ms);
    request.response_bytes_max =
        job.body_size_limit > 0 ? job.body_size_limit : kBodyBytesMax;
    request.accept_gzip = job.enable_compression;
    if (!job.follow_redirects) request.redirects_max = 0;
    request.headers = {
        {"Accept", std::string(TextFormatAccept())},
        {"X-Prometheus-Scrape-Timeout-Seconds",
         fmt::format("{}", static_cast<double>(target.timeout_ms) / 1000)}};
    if (job.authorization) {
      VIGIE_ASSIGN_OR_RETURN(std::string header,
                             AuthorizationHeader(*job.authorization));
      request.headers.emplace_back("Authorization", std::move(header));
    }
    VIGIE_ASSIGN_OR_RETURN(net::HttpResponse response,
                           http.Do(request, stop.get_token()));
    if (response.status != 200) {
      return absl::FailedPreconditionError(
          fmt::format("server returned HTTP status {}", response.status));
    }
    return response;
  }

  void RunScrape(const EntryPtr& entry) {
    ScrapeTarget target;
    std::shared_ptr<const ScrapeJob> job;
    {
      MutexLock lock(mutex);
      target = entry->target;
      job = entry->job;
    }
    const int64_t began_ms = clock.NowMs();
    const int64_t began_ns = clock.MonotonicNs();
    Scrape scrape;
    scrape.time_ms = AlignedMs(began_ms, target);
    absl::StatusOr<net::HttpResponse> response = Fetch(*job, target);
    // Not the target's fault: another process may go on with its series.
    if (stop.stop_requested()) return;
    scrape.duration_s =
        static_cast<double>(clock.MonotonicNs() - began_ns) / 1e9;
    scrape.status = response.status();
    if (response.ok()) {
      scrape.format = TextFormatOf(response->content_type);
      scrape.body = std::move(response->body);
    }
    store::AppendBatch batch;
    const ScrapeReading reading = entry->state.Compose(*job, scrape, &batch);
    Count(reading, target);
    {
      MutexLock lock(mutex);
      entry->last_scrape_ms = began_ms;
      entry->last_time_ms = scrape.time_ms;
      entry->last_duration_s = scrape.duration_s;
      entry->last_error = std::string(MessageOf(reading.status));
      entry->health = reading.status.ok() ? "up" : "down";
    }
    Append(entry, std::move(batch));
  }

  void Count(const ScrapeReading& reading, const ScrapeTarget& target) {
    counters.Request(reading.outcome);
    counters.Received(reading.samples);
    if (reading.status.ok()) return;
    scrapes_failed.Increment();
    if (reading.samples > 0 || reading.outcome == "malformed") {
      counters.Refused(
          reading.outcome, std::max<uint64_t>(reading.samples, 1),
          fmt::format("{}: {}", target.url, MessageOf(reading.status)));
    } else if (uint64_t held; failure_log.Pass(&held)) {
      spdlog::warn("scrape: {}: {} ({} similar lines left out)", target.url,
                   CutExample(MessageOf(reading.status)), held);
    }
  }

  void Append(const EntryPtr& entry, store::AppendBatch batch) {
    const uint64_t points =
        batch.floats.size() + batch.exemplars.size() + batch.metadata.size();
    {
      MutexLock lock(mutex);
      ++appends_in_flight;
    }
    appender.Append(
        std::move(batch), [this, entry, points](store::AppendOutcome outcome) {
          MutexLock lock(mutex);
          if (!stopping) {
            Enqueue({Task::kSettle, entry, std::move(outcome), points});
          }
          --appends_in_flight;
          drained.NotifyAll();
        });
  }

  void RunSettle(const Work& work) {
    const EntryPtr& entry = work.entry;
    std::shared_ptr<const ScrapeJob> job;
    {
      MutexLock lock(mutex);
      job = entry->job;
    }
    const store::AppendOutcome& outcome = work.outcome;
    if (!outcome.status.ok()) {
      appends_failed.Increment();
      counters.Refused(WholeBatchReason(outcome.status.code()), work.points,
                       fmt::format("{}: {}", entry->state.group(),
                                   MessageOf(outcome.status)));
    }
    for (const store::Refusal& refusal : outcome.refusals) {
      // Those come again, with their labels.
      if (refusal.reason == store::RefusalReason::kUnknownReference) continue;
      counters.Refused(store::RefusalName(refusal.reason), refusal.count,
                       refusal.example);
    }
    if (auto again = entry->state.Settle(*job, outcome)) {
      return Append(entry, *std::move(again));
    }
    MutexLock lock(mutex);
    entry->busy = false;
    if (entry->removed) {
      entry->busy = true;
      Enqueue({Task::kRetire, entry, {}});
    } else {
      Schedule(entry, entry->last_time_ms);
    }
  }

  void RunRetire(const EntryPtr& entry) {
    int64_t time_ms;
    {
      MutexLock lock(mutex);
      time_ms = std::max(entry->removed_ms, entry->last_time_ms + 1);
      ++appends_in_flight;
    }
    store::AppendBatch batch = entry->state.Retire(time_ms);
    const uint64_t points = batch.floats.size();
    appender.Append(
        std::move(batch), [this, entry, points](store::AppendOutcome outcome) {
          if (!outcome.status.ok()) {
            counters.Refused(WholeBatchReason(outcome.status.code()), points,
                             fmt::format("{}: {}", entry->state.group(),
                                         MessageOf(outcome.status)));
          }
          MutexLock lock(mutex);
          --appends_in_flight;
          drained.NotifyAll();
        });
  }

  // --- configuration ---

  void Apply(const PrometheusConfig& config) {
    std::map<std::string,
             std::pair<ScrapeTarget, std::shared_ptr<const ScrapeJob>>>
        wanted;
    for (const ScrapeJob& one : config.jobs) {
      const auto job = std::make_shared<const ScrapeJob>(one);
      for (const StaticTargetGroup& group : job->static_configs) {
        for (const std::string& address : group.targets) {
          auto target = MakeTarget(*job, group, address);
          if (!target.ok()) {
            spdlog::warn("scrape: left out: {}", MessageOf(target.status()));
            continue;
          }
          if (!target->has_value()) continue;
          const std::string key = job->name + '\0' + (*target)->Key();
          wanted.try_emplace(key, **std::move(target), job);
        }
      }
    }

    MutexLock lock(mutex);
    if (stopping) return;
    for (auto it = entries.begin(); it != entries.end();) {
      const auto at = it++;
      const auto found = wanted.find(at->first);
      if (found != wanted.end() &&
          SameSeries(*found->second.second, *at->second->job)) {
        continue;
      }
      Remove(at->second);
      entries.erase(at);
    }
    for (auto& [key, pair] : wanted) {
      EntryPtr& entry = entries[key];
      const bool added = entry == nullptr;
      if (added) {
        entry = std::make_shared<Entry>(std::move(pair.first), pair.second);
      } else {
        const bool moved = entry->target.interval_ms != pair.first.interval_ms;
        entry->target = std::move(pair.first);
        entry->job = pair.second;
        if (!moved || entry->busy) continue;
        Unschedule(entry);
      }
      Schedule(entry, clock.NowMs());
    }
    targets_gauge.Set(static_cast<double>(entries.size()));
  }

  void Unschedule(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto [from, to] = due.equal_range(entry->due_ns);
    const auto at = std::find_if(
        from, to, [&](const auto& pair) { return pair.second == entry; });
    if (at != to) due.erase(at);
  }

  void Remove(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    entry->removed = true;
    entry->removed_ms = clock.NowMs();
    if (entry->busy) return;  // whoever is busy with it sees it
    Unschedule(entry);
    entry->busy = true;
    Enqueue({Task::kRetire, entry, {}});
  }

  std::vector<TargetStatus> Targets() const {
    std::vector<TargetStatus> out;
    MutexLock lock(mutex);
    for (const auto& [key, entry] : entries) {
      const ScrapeTarget& target = entry->target;
      out.push_back({.discovered_labels = target.discovered_labels,
                     .labels = target.labels,
                     .scrape_pool = entry->job->name,
                     .scrape_url = target.url,
                     .last_error = entry->last_error,
                     .last_scrape_ms = entry->last_scrape_ms,
                     .last_duration_s = entry->last_duration_s,
                     .health = entry->health,
                     .interval_ms = target.interval_ms,
                     .timeout_ms = target.timeout_ms});
    }
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
      return std::tie(a.scrape_pool, a.scrape_url) <
             std::tie(b.scrape_pool, b.scrape_url);
    });
    return out;
  }

  void Stop() {
    std::vector<std::thread> ending;
    {
      MutexLock lock(mutex);
      stopping = true;
      stop.request_stop();
      wake.request_stop();
      work_ready.NotifyAll();
      ending.swap(threads);
    }
    for (std::thread& thread : ending) thread.join();
    if (timer.joinable()) timer.join();
    MutexLock lock(mutex);
    ready.clear();
    due.clear();
  }

  ~Impl() {
    Stop();
    MutexLock lock(mutex);
    while (appends_in_flight > 0) drained.Wait(mutex);
  }

  store::Appender& appender;
  net::HttpClient& http;
  const Clock& clock;
  IngestCounters counters;
  prometheus::Gauge& targets_gauge;
  prometheus::Counter& intervals_missed;
  prometheus::Counter& scrapes_failed;
  prometheus::Counter& appends_failed;
  LogRateLimiter failure_log;
  std::stop_source stop;  // ends running requests

  mutable Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::map<std::string, EntryPtr> entries ABSL_GUARDED_BY(mutex);
  // Entries that nobody is busy with, by monotonic time.
  std::multimap<int64_t, EntryPtr> due ABSL_GUARDED_BY(mutex);
  // At most one for each entry, those removed included.
  std::deque<Work> ready ABSL_GUARDED_BY(mutex);
  CondVar work_ready;
  size_t idle_threads ABSL_GUARDED_BY(mutex) = 0;
  std::vector<std::thread> threads ABSL_GUARDED_BY(mutex);
  std::stop_source wake ABSL_GUARDED_BY(mutex);  // ends the timer's sleep
  int appends_in_flight ABSL_GUARDED_BY(mutex) = 0;
  CondVar drained;
  std::thread timer;  // last: it runs as soon as it is made
};

Scraper::Scraper(store::Appender& appender, net::HttpClient& http,
                 const Clock& clock, prometheus::Registry& registry)
    : impl_(std::make_unique<Impl>(appender, http, clock, registry)) {}

Scraper::~Scraper() = default;

void Scraper::Apply(const PrometheusConfig& config) { impl_->Apply(config); }

std::vector<TargetStatus> Scraper::Targets() const { return impl_->Targets(); }

void Scraper::Stop() { impl_->Stop(); }

}  // namespace vigie::collector
