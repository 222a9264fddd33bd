#include "base/yaml/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::yaml {

struct Node::Tree {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  bool quoted = false;
  std::shared_ptr<const std::string> file;
  int line = 1;
  int column = 1;
  std::string scalar;
  std::vector<std::shared_ptr<const Tree>> items;  // map: key, value, ...

  // `<<: *defaults` of YAML 1.1: adds the entries of a map, or of each map in
  // a list, that are not there yet.
  static absl::Status Merge(const Tree& from, StringMap<int>* seen, Tree* to);

  // Throws what yaml-cpp throws; errors of ours come back.
  static absl::StatusOr<std::shared_ptr<const Tree>> Convert(
      const YAML::Node& in, const std::shared_ptr<const std::string>& file,
      int depth, int* nodes);
};

namespace {

constexpr int kDepthMax = 100;
constexpr int64_t kFileBytesMax = 16 << 20;

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

absl::Status At(const std::string& file, int line, int column,
                std::string_view message) {
  return absl::InvalidArgumentError(
      fmt::format("{}:{}:{}: {}", file, line, column, message));
}

// Sees whether a document holds anything, and where it begins.
class DocumentProbe final : public YAML::EventHandler {
 public:
  bool has_content() const { return has_content_; }
  const YAML::Mark& start() const { return start_; }

  void OnDocumentStart(const YAML::Mark& mark) override { start_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override { Content(); }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {
    Content();
  }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Content();
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Content();
  }
  void OnMapEnd() override {}

 private:
  void Content() { has_content_ = true; }
  bool has_content_ = false;
  YAML::Mark start_;
};

// One document at most may hold anything. On some malformed texts (",a: {}")
// yaml-cpp's parser finds documents without end and takes nothing from the
// text: YAML::LoadAll never returns, and YAML::Load leaves out in silence what
// it does not understand. Throws what yaml-cpp throws.
absl::Status CheckOneDocument(const std::string& text,
                              const std::string& file) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  YAML::Mark last;
  for (int documents = 0;; ++documents) {
    DocumentProbe probe;
    if (!parser.HandleNextDocument(probe)) return absl::OkStatus();
    const YAML::Mark start = probe.start();
    if (documents > 0 && (probe.has_content() || start.pos == last.pos)) {
      return At(file, start.line + 1, start.column + 1,
                start.pos == last.pos
                    ? "text that belongs to nothing before it"
                    : "more than one YAML document in the file");
    }
    last = start;
  }
}

}  // namespace

absl::Status Node::Tree::Merge(const Tree& from, StringMap<int>* seen,
                               Tree* to) {
  if (from.kind == Kind::kSequence) {
    for (const auto& item : from.items) {
      if (item->kind != Kind::kMap) {
        return At(*item->file, item->line, item->column,
                  "only maps can be merged");
      }
      VIGIE_RETURN_IF_ERROR(Merge(*item, seen, to));
    }
    return absl::OkStatus();
  }
  if (from.kind != Kind::kMap) {
    return At(*from.file, from.line, from.column, "only maps can be merged");
  }
  for (size_t i = 0; i + 1 < from.items.size(); i += 2) {
    const Tree& key = *from.items[i];
    if (!seen->try_emplace(key.scalar, key.line).second) continue;
    to->items.push_back(from.items[i]);
    to->items.push_back(from.items[i + 1]);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Node::Tree>> Node::Tree::Convert(
    const YAML::Node& in, const std::shared_ptr<const std::string>& file,
    int depth, int* nodes) {
  auto out = std::make_shared<Tree>();
  out->file = file;
  out->line = in.Mark().line < 0 ? 1 : in.Mark().line + 1;
  out->column = in.Mark().column < 0 ? 1 : in.Mark().column + 1;
  if (++*nodes > kNodesMax) {
    return At(*file, out->line, out->column,
              fmt::format("more than {} nodes", kNodesMax));
  }
  if (depth > kDepthMax) {
    return At(*file, out->line, out->column,
              fmt::format("nested deeper than {}", kDepthMax));
  }
  switch (in.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      break;
    case YAML::NodeType::Scalar:
      out->kind = Kind::kScalar;
      out->scalar = in.Scalar();
      out->quoted = in.Tag() == "!";
      break;
    case YAML::NodeType::Sequence:
      out->kind = Kind::kSequence;
      for (const YAML::Node& item : in) {
        VIGIE_ASSIGN_OR_RETURN(auto child,
                               Convert(item, file, depth + 1, nodes));
        out->items.push_back(std::move(child));
      }
      break;
    case YAML::NodeType::Map: {
      out->kind = Kind::kMap;
      StringMap<int> seen;
      std::vector<std::shared_ptr<const Tree>> merged;
      for (const auto& entry : in) {
        VIGIE_ASSIGN_OR_RETURN(auto key,
                               Convert(entry.first, file, depth + 1, nodes));
        if (key->kind != Kind::kScalar) {
          return At(*file, key->line, key->column, "a key must be a scalar");
        }
        auto [it, added] = seen.try_emplace(key->scalar, key->line);
        if (!added) {
          return At(*file, key->line, key->column,
                    fmt::format("key \"{}\" is already set in line {}",
                                key->scalar, it->second));
        }
        VIGIE_ASSIGN_OR_RETURN(auto value,
                               Convert(entry.second, file, depth + 1, nodes));
        if (key->scalar == "<<" && !key->quoted) {
          merged.push_back(std::move(value));
          continue;
        }
        out->items.push_back(std::move(key));
        out->items.push_back(std::move(value));
      }
      for (const auto& value : merged) {
        VIGIE_RETURN_IF_ERROR(Merge(*value, &seen, out.get()));
      }
      break;
    }
  }
  return out;
}

absl::StatusOr<Node> Node::Parse(std::string_view text,
                                 std::string_view file_name) {
  auto file = std::make_shared<const std::string>(file_name);
  try {
    const std::string copy(text);
    VIGIE_RETURN_IF_ERROR(CheckOneDocument(copy, *file));
    int nodes = 0;
    VIGIE_ASSIGN_OR_RETURN(auto tree,
                           Tree::Convert(YAML::Load(copy), file, 0, &nodes));
    return Node(std::move(tree));
  } catch (const YAML::Exception& e) {
    return At(*file, e.mark.line < 0 ? 1 : e.mark.line + 1,
              e.mark.column < 0 ? 1 : e.mark.column + 1, e.msg);
  }
}

absl::StatusOr<Node> Node::LoadFile(const std::string& path) {
  // Opening a pipe would wait for somebody to write into it.
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (std::filesystem::exists(std::filesystem::file_status(type)) &&
      type != std::filesystem::file_type::regular) {
    return absl::InvalidArgumentError(
        fmt::format("{}: is not a regular file", path));
  }
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) {
    return absl::NotFoundError(fmt::format("{}: cannot be read", path));
  }
  const int64_t size = in.tellg();
  if (size < 0 || size > kFileBytesMax) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: is not a file of at most {} bytes", path, kFileBytesMax));
  }
  std::string text(static_cast<size_t>(size), '\0');
  in.seekg(0);
  if (!in.read(text.data(), size)) {
    return absl::NotFoundError(fmt::format("{}: cannot be read", path));
  }
  return Parse(text, path);
}

bool Node::is_null() const { return tree_->kind == Tree::Kind::kNull; }
bool Node::is_scalar() const { return tree_->kind == Tree::Kind::kScalar; }
bool Node::is_sequence() const { return tree_->kind == Tree::Kind::kSequence; }
bool Node::is_map() const { return tree_->kind == Tree::Kind::kMap; }

std::string Node::place() const {
  return fmt::format("{}:{}:{}", *tree_->file, tree_->line, tree_->column);
}

const std::string& Node::file_name() const { return *tree_->file; }

absl::Status Node::Error(std::string_view message) const {
  return At(*tree_->file, tree_->line, tree_->column, message);
}

absl::StatusOr<std::string> Node::AsString() const {
  if (!is_scalar()) return Error("must be a string");
  return tree_->scalar;
}

absl::StatusOr<int64_t> Node::AsInt() const {
  int64_t value;
  if (!is_scalar() || tree_->quoted ||
      !absl::SimpleAtoi(ToAbsl(tree_->scalar), &value)) {
    return Error("must be a whole number");
  }
  return value;
}

absl::StatusOr<double> Node::AsDouble() const {
  double value;
  if (!is_scalar() || tree_->quoted ||
      !absl::SimpleAtod(ToAbsl(tree_->scalar), &value)) {
    return Error("must be a number");
  }
  return value;
}

absl::StatusOr<bool> Node::AsBool() const {
  if (is_scalar() && !tree_->quoted) {
    // All that YAML 1.1 has: Prometheus and Alertmanager take them.
    std::string word = tree_->scalar;
    const bool upper = std::all_of(word.begin(), word.end(), IsUpper);
    if (!word.empty() && (upper || IsUpper(word[0]))) {
      for (size_t i = 0; i < (upper ? word.size() : 1); ++i) {
        word[i] = static_cast<char>(word[i] - 'A' + 'a');
      }
    }
    for (const char* yes : {"true", "yes", "on", "y"}) {
      if (word == yes) return true;
    }
    for (const char* no : {"false", "no", "off", "n"}) {
      if (word == no) return false;
    }
  }
  return Error("must be true or false");
}

absl::StatusOr<int64_t> Node::AsDurationMs() const {
  if (!is_scalar()) return Error("must be a duration such as 1m30s");
  absl::StatusOr<int64_t> ms = ParseDurationMs(tree_->scalar);
  if (!ms.ok()) return Error(MessageOf(ms.status()));
  return ms;
}

absl::StatusOr<int64_t> Node::AsBytes() const {
  const auto error = [&] {
    return Error("must be a size in bytes such as 512MB");
  };
  if (!is_scalar()) return error();
  const std::string& text = tree_->scalar;
  const size_t digits = text.find_first_not_of("0123456789");
  int64_t value;
  if (!absl::SimpleAtoi(ToAbsl(text).substr(0, digits), &value)) {
    return error();
  }
  if (digits == std::string::npos) return value;
  static constexpr std::string_view kPrefixes = "KMGTPE";
  std::string_view unit = std::string_view(text).substr(digits);
  int shift = 0;
  if (unit != "B") {
    const size_t power = kPrefixes.find(unit[0]);
    if (power == std::string_view::npos) return error();
    unit.remove_prefix(1);
    if (unit != "B" && unit != "iB") return error();
    shift = 10 * (static_cast<int>(power) + 1);
  }
  if (value > (INT64_MAX >> shift)) return error();
  return value << shift;
}

absl::StatusOr<std::vector<Node>> Node::AsSequence() const {
  std::vector<Node> out;
  if (is_null()) return out;
  if (!is_sequence()) return Error("must be a list");
  out.reserve(tree_->items.size());
  for (const auto& item : tree_->items) out.push_back(Node(item));
  return out;
}

absl::StatusOr<std::vector<std::string>> Node::AsStrings() const {
  VIGIE_ASSIGN_OR_RETURN(const std::vector<Node> nodes, AsSequence());
  std::vector<std::string> out;
  for (const Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(out.emplace_back(), node.AsString());
  }
  return out;
}

absl::StatusOr<MapReader> Node::AsMap() const {
  if (!is_map() && !is_null()) return Error("must be a map");
  MapReader reader(*this);
  for (size_t i = 0; i + 1 < tree_->items.size(); i += 2) {
    reader.entries_.push_back(MapReader::Entry{tree_->items[i]->scalar,
                                               Node(tree_->items[i]),
                                               Node(tree_->items[i + 1])});
  }
  return reader;
}

const Node* MapReader::Find(std::string_view key) {
  for (Entry& entry : entries_) {
    if (entry.key == key) {
      entry.known = true;
      return &entry.value;
    }
  }
  return nullptr;
}

absl::StatusOr<Node> MapReader::Require(std::string_view key) {
  const Node* node = Find(key);
  if (node == nullptr) {
    return node_.Error(fmt::format("key \"{}\" is missing", key));
  }
  return *node;
}

absl::Status MapReader::Read(std::string_view key, std::string* out) {
  if (const Node* node = Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, node->AsString());
  }
  return absl::OkStatus();
}

absl::Status MapReader::Read(std::string_view key, int64_t* out) {
  if (const Node* node = Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, node->AsInt());
  }
  return absl::OkStatus();
}

absl::Status MapReader::Read(std::string_view key, double* out) {
  if (const Node* node = Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, node->AsDouble());
  }
  return absl::OkStatus();
}

absl::Status MapReader::Read(std::string_view key, bool* out) {
  if (const Node* node = Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, node->AsBool());
  }
  return absl::OkStatus();
}

absl::Status MapReader::ReadDurationMs(std::string_view key, int64_t* out) {
  if (const Node* node = Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, node->AsDurationMs());
  }
  return absl::OkStatus();
}

absl::Status MapReader::ReadBytes(std::string_view key, int64_t* out) {
  if (const Node* node = Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, node->AsBytes());
  }
  return absl::OkStatus();
}

void MapReader::MarkUnsupported(const std::vector<std::string_view>& keys,
                                std::vector<std::string>* unsupported) {
  for (Entry& entry : entries_) {
    for (std::string_view key : keys) {
      if (entry.key != key) continue;
      entry.known = true;
      const Node::Tree& value = *entry.value.tree_;
      if (value.kind != Node::Tree::Kind::kScalar && value.items.empty()) {
        continue;
      }
      unsupported->push_back(fmt::format("{}: key \"{}\": not supported yet",
                                         entry.key_node.place(), key));
    }
  }
}

absl::Status MapReader::Finish() const {
  for (const Entry& entry : entries_) {
    if (!entry.known) {
      return entry.key_node.Error(fmt::format("unknown key \"{}\"", entry.key));
    }
  }
  return absl::OkStatus();
}

std::vector<std::pair<std::string, Node>> MapReader::Entries() {
  std::vector<std::pair<std::string, Node>> out;
  for (Entry& entry : entries_) {
    entry.known = true;
    out.emplace_back(entry.key, entry.value);
  }
  return out;
}

}  // namespace vigie::yaml
