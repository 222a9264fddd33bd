#include "store/rocks_damage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <vector>

namespace vigie::store {
namespace {

// What CURRENT says, if it does not lead to a manifest.
std::string FaultOfCurrent(const std::string& directory, rocksdb::Env& env) {
  std::string text;
  const rocksdb::Status status =
      rocksdb::ReadFileToString(&env, directory + "/CURRENT", &text);
  if (!status.ok()) return fmt::format("CURRENT: {}", status.ToString());
  if (text.ends_with('\n')) text.pop_back();
  if (text.starts_with("MANIFEST-") &&
      env.FileExists(fmt::format("{}/{}", directory, text)).ok()) {
    return "";
  }
  return "CURRENT: names no manifest that is there";
}

// The bytes of the number that an ingestion may write into a file: no checksum
// covers them, and DB::Open then names the manifest.
bool HasSequence(const rocksdb::SstFileReader& reader) {
  const auto properties = reader.GetTableProperties();
  if (properties == nullptr) return false;
  const auto& all = properties->user_collected_properties;
  const auto it = all.find("rocksdb.external_sst_file.global_seqno");
  return it != all.end() && it->second != std::string(8, '\0');
}

}  // namespace

absl::Status ExplainRefusal(const std::string& directory, rocksdb::Env& env,
                            const rocksdb::Status& refusal) {
  const std::string cause = refusal.ToString();
  std::vector<std::string> names;
  env.GetChildren(directory, &names).PermitUncheckedError();
  std::sort(names.begin(), names.end());

  std::vector<std::string> damaged;
  std::vector<std::string> journals;
  for (const std::string& name : names) {
    if (name.ends_with(".log")) journals.push_back(name);
    if (!name.ends_with(".sst")) continue;
    rocksdb::Options options;
    options.env = &env;
    rocksdb::SstFileReader reader(options);
    const rocksdb::Status status =
        reader.Open(fmt::format("{}/{}", directory, name));
    if (status.IsCorruption()) {
      damaged.push_back(fmt::format("{}: {}", name, status.ToString()));
    } else if (status.ok() && HasSequence(reader)) {
      damaged.push_back(
          fmt::format("{}: a sequence number, which vigie does "
                      "not write into files",
                      name));
    }
  }
  if (const std::string fault = FaultOfCurrent(directory, env);
      !fault.empty() && !names.empty()) {
    damaged.push_back(fault);
  }
  if (damaged.empty() && refusal.IsCorruption() &&
      cause.find(directory + "/") == cause.npos) {
    // Tables and manifests are named; what is not is the write-ahead log.
    damaged.push_back(fmt::format("{}", fmt::join(journals, " or ")));
  }
  if (damaged.empty()) {
    const std::string message = fmt::format("blocks: {}: {}", directory, cause);
    if (refusal.IsCorruption()) return absl::DataLossError(message);
    return refusal.IsIOError() ? absl::UnavailableError(message)
                               : absl::InternalError(message);
  }
  return absl::DataLossError(fmt::format("blocks: {}: {}; damaged: {}",
                                         directory, cause,
                                         fmt::join(damaged, "; ")));
}

}  // namespace vigie::store
