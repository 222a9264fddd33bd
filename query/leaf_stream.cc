#include "query/leaf_stream.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "base/task_pool.h"

namespace vigie::query {
namespace {

// How many series a thread takes at once: enough that taking them costs
// nothing, few enough that what waits for its turn is little.
constexpr size_t kBlockSeriesMin = 8;
constexpr size_t kBlockSeriesMax = 32;
constexpr int64_t kBlockCells = 8192;
// With fewer, one thread is done before another has begun.
constexpr size_t kSharedSeriesMin = 4 * kBlockSeriesMin;

size_t BlockSeries(const SeriesLeaves& leaves, size_t helpers) {
  // Each thread has some turns, so that they end together.
  const size_t turns = 4 * (helpers + 1);
  const auto few =
      static_cast<size_t>(kBlockCells / std::max<int64_t>(leaves.steps, 1));
  return std::clamp(std::min(leaves.count / turns, few), kBlockSeriesMin,
                    kBlockSeriesMax);
}

class InTurn final : public SeriesStream {
 public:
  InTurn(QueryContext* context, SeriesLeaves leaves)
      : count_(leaves.count), leaf_(leaves.make(context)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (next_ < count_) {
      VIGIE_ASSIGN_OR_RETURN(const bool any, leaf_->At(next_++, series));
      if (any) return true;
    }
    return false;
  }

 private:
  const size_t count_;
  const std::unique_ptr<SeriesLeaf> leaf_;
  size_t next_ = 0;
};

class RunsInTurn final : public RunStream {
 public:
  RunsInTurn(QueryContext* context, RunLeaves leaves)
      : count_(leaves.count), leaf_(leaves.make(context)) {}

  absl::StatusOr<bool> Next(SampleRun* run) override {
    if (next_ >= count_) return false;
    VIGIE_RETURN_IF_ERROR(leaf_->At(next_++, run));
    return true;
  }

 private:
  const size_t count_;
  const std::unique_ptr<RunLeaf> leaf_;
  size_t next_ = 0;
};

// Neighbouring series, evaluated by one thread.
struct Block {
  bool done = false;
  std::vector<StepSeries> series;
  absl::Status status;  // of the first that failed; `series` are before it
  Annotations annotations;
  QueryStats stats;
};

// A thread's own context and leaf.
struct Worker {
  explicit Worker(const QueryContext& query) : context(query.ForThread()) {}
  QueryContext context;
  std::unique_ptr<SeriesLeaf> leaf;
};

// What the query's thread and those of the pool share. Blocks are known by
// their number; those before `first_` have been handed on.
class Sharing {
 public:
  Sharing(const QueryContext& context, SeriesLeaves leaves)
      : context_(context.ForThread()),
        count_(leaves.count),
        block_series_(BlockSeries(leaves, context.helpers)),
        blocks_((leaves.count + block_series_ - 1) / block_series_),
        ahead_(2 * (context.helpers + 1)),
        make_(std::move(leaves.make)) {}

  // Whether another thread would find something to begin. It is then expected
  // to come.
  bool AsksForHelp() {
    MutexLock lock(mutex_);
    if (!MayBegin() || expected_ + helping_ >= context_.helpers) return false;
    ++expected_;
    return true;
  }
  void HelpIsRefused() {
    MutexLock lock(mutex_);
    --expected_;
  }

  // Evaluates blocks ahead of the query's thread until none may be begun, or
  // another query waits for a thread of `pool`.
  void Help(const TaskPool& pool) {
    {
      MutexLock lock(mutex_);
      --expected_;
      ++helping_;
    }
    size_t number = 0;
    do {
      Block* block = Begin(&number);
      if (block == nullptr) break;
      Evaluate(number, block);
    } while (pool.queued() == 0);
    MutexLock lock(mutex_);
    --helping_;
    changed_.NotifyAll();
  }

  // The next block in order, evaluated; null at the end. While another thread
  // is at it, the query's own evaluates those behind it.
  std::unique_ptr<Block> Next() {
    size_t number = 0;
    while (!FirstIsDone()) {
      Block* own = Begin(&number);
      if (own == nullptr) break;
      Evaluate(number, own);
    }
    MutexLock lock(mutex_);
    if (begun_.empty()) return nullptr;
    while (!begun_.front()->done) changed_.Wait(mutex_);
    std::unique_ptr<Block> block = std::move(begun_.front());
    begun_.pop_front();
    ++first_;
    return block;
  }

  // Waits for the threads that help, which stop at their next series. Nothing
  // of the query is held afterwards, though tasks that come later hold this.
  void End() {
    MutexLock lock(mutex_);
    ended_ = true;
    while (helping_ > 0) changed_.Wait(mutex_);
    begun_.clear();
    idle_.clear();
    make_ = nullptr;
  }

 private:
  bool MayBegin() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !ended_ && taken_ < std::min(blocks_, first_ + ahead_);
  }
  // A block that nobody has begun, if one is near enough.
  Block* Begin(size_t* number) {
    MutexLock lock(mutex_);
    if (!MayBegin()) return nullptr;
    *number = taken_++;
    begun_.push_back(std::make_unique<Block>());
    return begun_.back().get();
  }
  bool FirstIsDone() {
    MutexLock lock(mutex_);
    return !begun_.empty() && begun_.front()->done;
  }
  bool ended() {
    MutexLock lock(mutex_);
    return ended_;
  }

  void Evaluate(size_t number, Block* block) {
    std::unique_ptr<Worker> worker = TakeWorker();
    const size_t end = std::min(count_, (number + 1) * block_series_);
    StepSeries series;
    for (size_t i = number * block_series_; i < end && !ended(); ++i) {
      const absl::StatusOr<bool> any = worker->leaf->At(i, &series);
      if (!any.ok()) {
        block->status = any.status();
        break;
      }
      if (*any) block->series.push_back(std::move(series));
    }
    block->annotations = std::exchange(worker->context.annotations, {});
    block->stats = std::exchange(worker->context.stats, {});
    MutexLock lock(mutex_);
    idle_.push_back(std::move(worker));
    block->done = true;
    changed_.NotifyAll();
  }

  std::unique_ptr<Worker> TakeWorker() {
    {
      MutexLock lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Worker> worker = std::move(idle_.back());
        idle_.pop_back();
        return worker;
      }
    }
    auto worker = std::make_unique<Worker>(context_);
    worker->leaf = make_(&worker->context);
    return worker;
  }

  const QueryContext context_;  // as it was when the stream was made
  const size_t count_;          // of series
  const size_t block_series_;   // how many a block has
  const size_t blocks_;
  const size_t ahead_;  // blocks that may be begun and not handed on
  // Changed by End alone, when nobody evaluates.
  std::function<std::unique_ptr<SeriesLeaf>(QueryContext*)> make_;

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::unique_ptr<Block>> begun_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> idle_ ABSL_GUARDED_BY(mutex_);
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t expected_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t helping_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class Shared final : public SeriesStream {
 public:
  Shared(QueryContext* context, SeriesLeaves leaves)
      : context_(*context),
        sharing_(std::make_shared<Sharing>(*context, std::move(leaves))) {}
  ~Shared() override { sharing_->End(); }

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      if (block_ != nullptr) {
        if (next_ < block_->series.size()) {
          *series = std::move(block_->series[next_++]);
          return true;
        }
        VIGIE_RETURN_IF_ERROR(block_->status);
      }
      CallForHelp();
      block_ = sharing_->Next();
      if (block_ == nullptr) return false;
      next_ = 0;
      context_.annotations.Take(std::move(block_->annotations));
      context_.stats.series_read += block_->stats.series_read;
      context_.stats.samples_read += block_->stats.samples_read;
      context_.stats.histograms_read += block_->stats.histograms_read;
    }
  }

 private:
  // A task that comes too late finds nothing to do. One that finds no thread
  // is not missed.
  void CallForHelp() {
    if (!sharing_->AsksForHelp()) return;
    TaskPool::Task task = [sharing = sharing_, &pool = *context_.pool] {
      sharing->Help(pool);
    };
    if (!context_.pool->TrySubmit(task)) sharing_->HelpIsRefused();
  }

  QueryContext& context_;
  const std::shared_ptr<Sharing> sharing_;
  std::unique_ptr<Block> block_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<SeriesStream> StreamOfLeaves(QueryContext* context,
                                             SeriesLeaves leaves) {
  if (context->pool == nullptr || leaves.count < kSharedSeriesMin) {
    return std::make_unique<InTurn>(context, std::move(leaves));
  }
  return std::make_unique<Shared>(context, std::move(leaves));
}

std::unique_ptr<RunStream> StreamOfLeaves(QueryContext* context,
                                          RunLeaves leaves) {
  return std::make_unique<RunsInTurn>(context, std::move(leaves));
}

}  // namespace vigie::query
