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

std::vector<std::string> NamesIn(const std::string& directory,
                                 rocksdb::Env& env) {
  std::vector<std::string> names;
  env.GetChildren(directory, &names).PermitUncheckedError();
  std::sort(names.begin(), names.end());
  return names;
}

// What is wrong with a table file; empty: nothing that opening it tells.
std::string FaultOfTable(const std::string& path, rocksdb::Env& env) {
  rocksdb::Options options;
  options.env = &env;
  rocksdb::SstFileReader reader(options);
  const rocksdb::Status status = reader.Open(path);
  if (status.IsCorruption()) return status.ToString();
  if (!status.ok()) return "";
  // No checksum covers this number, so that RocksDB may write it in place;
  // vigie never has it written.
  const auto& properties =
      reader.GetTableProperties()->user_collected_properties;
  const auto number = properties.find("rocksdb.external_sst_file.global_seqno");
  if (number != properties.end() &&
      number->second.find_first_not_of('\0') != std::string::npos) {
    return "its global sequence number is not 0";
  }
  return "";
}

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

}  // namespace

absl::Status ExplainRefusal(const std::string& directory, rocksdb::Env& env,
                            const rocksdb::Status& refusal) {
  const std::string cause = refusal.ToString();
  const std::vector<std::string> names = NamesIn(directory, env);

  std::vector<std::string> damaged;
  std::vector<std::string> journals;
  for (const std::string& name : names) {
    if (name.ends_with(".log")) journals.push_back(name);
    if (!name.ends_with(".sst")) continue;
    const std::string fault =
        FaultOfTable(fmt::format("{}/{}", directory, name), env);
    if (!fault.empty()) damaged.push_back(fmt::format("{}: {}", name, fault));
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

std::string JournalsIn(const std::string& directory, rocksdb::Env& env) {
  std::vector<std::string> names = NamesIn(directory, env);
  std::erase_if(names, [](const std::string& name) {
    return !name.ends_with(".log") && !name.starts_with("MANIFEST-");
  });
  return fmt::format("{}", fmt::join(names, " or "));
}

bool HoldsAnything(const std::string& directory, rocksdb::Env& env) {
  for (const std::string& name : NamesIn(directory, env)) {
    if (name.ends_with(".sst")) return true;
    if (!name.ends_with(".log")) continue;
    uint64_t bytes = 0;
    const std::string path = fmt::format("{}/{}", directory, name);
    if (!env.GetFileSize(path, &bytes).ok() || bytes > 0) return true;
  }
  return false;
}

}  // namespace vigie::store
