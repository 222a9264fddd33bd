// YAML with places: every node knows its file:line:column, duplicate keys are
// errors (yaml-cpp accepts them), and so are keys that nobody asked for. Merge
// keys (`<<: *defaults`) and the booleans of YAML 1.1 are understood, as the
// files of Prometheus and Alertmanager have them.
// Immutable after loading; thread-safe to read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/yaml/secret.h"

namespace vigie::yaml {

// Bounds aliases that multiply: a document unfolds to at most this many nodes.
inline constexpr int kNodesMax = 200'000;

class MapReader;

class Node {
 public:
  // `file_name` is what places say. kInvalidArgument with the place for a
  // syntax error, a duplicate key, a key that is no scalar or too many nodes.
  static absl::StatusOr<Node> Parse(std::string_view text,
                                    std::string_view file_name);
  // As Parse; kNotFound or kInvalidArgument, naming the file, if unreadable.
  static absl::StatusOr<Node> LoadFile(const std::string& path);

  bool is_null() const;
  bool is_scalar() const;
  bool is_sequence() const;
  bool is_map() const;

  // kInvalidArgument with the place if the node is something else.
  absl::StatusOr<std::string> AsString() const;
  absl::StatusOr<int64_t> AsInt() const;
  absl::StatusOr<double> AsDouble() const;
  absl::StatusOr<bool> AsBool() const;
  absl::StatusOr<int64_t> AsDurationMs() const;  // "1h30m", as Prometheus
  absl::StatusOr<int64_t> AsBytes() const;       // "512MB", "1GiB", plain int
  absl::StatusOr<std::vector<Node>> AsSequence() const;  // null is empty
  absl::StatusOr<std::vector<std::string>> AsStrings() const;
  absl::StatusOr<MapReader> AsMap() const;  // null is empty

  // "prometheus.yml:12:3".
  std::string place() const;
  // As given to Parse: relative names in a file are taken from its directory.
  const std::string& file_name() const;
  // kInvalidArgument `place: message`.
  absl::Status Error(std::string_view message) const;

 private:
  friend class MapReader;
  struct Tree;  // owns a converted node; shared by the nodes below it
  explicit Node(std::shared_ptr<const Tree> tree) : tree_(std::move(tree)) {}
  std::shared_ptr<const Tree> tree_;
};

// Reads a map key by key and, in the end, tells which keys nobody read.
class MapReader {
 public:
  // Null if the key is absent. Marks it as known.
  const Node* Find(std::string_view key);
  // The node, or kInvalidArgument naming the map's place and the key.
  absl::StatusOr<Node> Require(std::string_view key);

  // Reads into `*out`, which keeps its value if the key is absent.
  absl::Status Read(std::string_view key, std::string* out);
  absl::Status Read(std::string_view key, int64_t* out);
  absl::Status Read(std::string_view key, double* out);
  absl::Status Read(std::string_view key, bool* out);
  absl::Status ReadDurationMs(std::string_view key, int64_t* out);
  absl::Status ReadBytes(std::string_view key, int64_t* out);

  // Marks keys that the format knows and vigie does not do yet. Those present
  // are added to `*unsupported` as `place: key "x": not supported yet`, unless
  // their value is null, [] or {}: these ask for nothing.
  void MarkUnsupported(const std::vector<std::string_view>& keys,
                       std::vector<std::string>* unsupported);

  // kInvalidArgument with the place of the first key that nobody read.
  absl::Status Finish() const;

  // For maps whose keys are data, in file order; marks all as known.
  std::vector<std::pair<std::string, Node>> Entries();

  const Node& node() const { return node_; }

 private:
  friend class Node;
  struct Entry {
    std::string key;
    Node key_node;
    Node value;
    bool known = false;
  };
  explicit MapReader(Node node) : node_(std::move(node)) {}
  Node node_;
  std::vector<Entry> entries_;
};

}  // namespace vigie::yaml
