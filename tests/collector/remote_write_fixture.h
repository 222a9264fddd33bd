// What the tests of remote write share: a door on a store in memory that also
// keeps the batches it is given.
#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>
#include <utility>
#include <vector>

#include "base/compress/compress.h"
#include "collector/remote_write.h"
#include "prometheus/remote/write.pb.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"

namespace vigie::collector {

inline constexpr int64_t kT = 1'700'000'000'000;  // ms

using LabelList = std::vector<std::pair<std::string, std::string>>;

inline ::prometheus::remote::TimeSeries* AddSeries(
    ::prometheus::remote::WriteRequest* request, const LabelList& labels) {
  auto* series = request->add_timeseries();
  for (const auto& [name, value] : labels) {
    auto* label = series->add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  return series;
}
inline void AddSample(::prometheus::remote::TimeSeries* series, double value,
                      int64_t time_ms = kT) {
  auto* sample = series->add_samples();
  sample->set_value(value);
  sample->set_timestamp(time_ms);
}

// Keeps the batches and leaves the rest to the store in memory.
class RecordingAppender final : public store::Appender {
 public:
  void Append(store::AppendBatch batch, store::AppendCompletion done) override {
    batches.push_back(batch);
    store.Append(std::move(batch), std::move(done));
  }
  testing::MemoryStore store;
  std::vector<store::AppendBatch> batches;
};

class RemoteWriteTest : public ::testing::Test {
 protected:
  DoorAnswer Send(const ::prometheus::remote::WriteRequest& request) {
    return SendBytes(request.SerializeAsString());
  }
  DoorAnswer SendBytes(const std::string& message) {
    return SendBody(compress::CompressSnappyBlock(message));
  }
  DoorAnswer SendBody(std::string body,
                      std::string type = "application/x-protobuf",
                      std::string encoding = "snappy", Tenant tenant = {}) {
    DoorAnswer got{0, {}, "no answer"};
    door_.Handle({std::move(tenant), std::move(type), std::move(encoding),
                  std::move(body)},
                 [&](DoorAnswer answer) { got = std::move(answer); });
    return got;
  }
  std::string Metrics() {
    return ::prometheus::TextSerializer().Serialize(registry_.Collect());
  }

  RecordingAppender appender_;
  testing::SimulatedClock clock_{kT};
  ::prometheus::Registry registry_;
  RemoteWriteOptions options_{.decompressed_bytes_max = 1 << 20,
                              .batch_bytes_max = 4 << 20,
                              .aliases = {}};
  RemoteWriteDoor door_{appender_, clock_, registry_, options_};
};

}  // namespace vigie::collector
