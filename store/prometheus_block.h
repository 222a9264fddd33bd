// PrometheusBlock reads a block of Prometheus's database (version 1 or 2 of
// its index): a directory with meta.json, index, chunks/ and tombstones. Every
// checksum is checked; what it holds in memory is its symbols and one series.
//
// Files are read, not mapped: a disk that fails under a mapping would end the
// process. Why: docs/decisions/0072-import-writes-blocks.md.
// Source: prometheus/tsdb/docs/format.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/time_range.h"
#include "store/operations.h"

namespace vigie::store {

// From meta.json; checked by nobody.
struct PrometheusBlockMeta {
  std::string ulid;
  TimeRange range;  // as ours: both ends closed
  uint64_t samples = 0;
  uint64_t series = 0;
};

class PrometheusBlock final : public ImportSource {
 public:
  // `directory` is that of one block. Errors name file and range: kNotFound
  // if there is none, kDataLoss if it is damaged, kFailedPrecondition for a
  // version that is not known.
  static absl::StatusOr<std::unique_ptr<PrometheusBlock>> Open(
      const std::string& directory, Tenant tenant);
  ~PrometheusBlock() override;

  const PrometheusBlockMeta& meta() const;
  // How far Next has come.
  uint64_t series_read() const;
  uint64_t series_total() const;

  const Tenant& tenant() const override { return tenant_; }
  // Series in the order of the block, deleted samples left out.
  absl::StatusOr<bool> Next(ImportedSeries* series) override;

 private:
  class Impl;
  PrometheusBlock(Tenant tenant, std::unique_ptr<Impl> impl);
  const Tenant tenant_;
  const std::unique_ptr<Impl> impl_;
};

// The blocks at `path`, oldest first: itself, or those in it. kNotFound if
// there is none.
absl::StatusOr<std::vector<std::string>> FindPrometheusBlocks(
    const std::string& path);

}  // namespace vigie::store
