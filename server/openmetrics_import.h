// OpenMetricsImport reads a file of OpenMetrics text, each sample with its
// time, as `promtool tsdb create-blocks-from openmetrics` does, piece by piece:
// some lines of it and the series in them are in memory, never the whole.
// Samples are what a source of an import gives; exemplars and metadata take a
// second reading, as they go through the appender.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "store/appender.h"
#include "store/operations.h"

namespace vigie::server {

class OpenMetricsImport final : public store::ImportSource {
 public:
  // Errors of this and of Next name the file; those of the text `path:line`.
  static absl::StatusOr<std::unique_ptr<OpenMetricsImport>> Open(
      const std::string& path, Tenant tenant);
  ~OpenMetricsImport() override;

  const Tenant& tenant() const override { return tenant_; }
  absl::StatusOr<bool> Next(store::ImportedSeries* series) override;

  // Replaces `*batch` by some exemplars, or, at last, by all metadata; false at
  // the end. Of many exemplars of a series the last ones. Of one object either
  // this or Next is called.
  absl::StatusOr<bool> NextNotes(store::AppendBatch* batch);

  uint64_t bytes_read() const;
  uint64_t bytes_total() const;

 private:
  class Impl;
  OpenMetricsImport(Tenant tenant, std::unique_ptr<Impl> impl);
  const Tenant tenant_;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::server
