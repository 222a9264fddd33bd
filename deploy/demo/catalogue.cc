#include "deploy/demo/catalogue.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace vigie::demo {
namespace {

struct Material {
  std::string_view name;
  int64_t percent;  // of the thing's price
};
constexpr std::array<Material, 4> kMaterials = {
    {{"oak", 100}, {"linen", 73}, {"steel", 121}, {"glass", 87}}};

constexpr std::array<std::pair<std::string_view, int64_t>, 10> kThings = {
    {{"mug", 1'290},
     {"lamp", 4'990},
     {"tray", 2'450},
     {"frame", 1'875},
     {"stool", 7'900},
     {"clock", 5'995},
     {"shelf", 8'999},
     {"basket", 3'210},
     {"desk", 18'900},
     {"hook", 649}}};

}  // namespace

Catalogue::Catalogue() {
  double sum = 0;
  for (const Material& material : kMaterials) {
    for (const auto& [thing, cents] : kThings) {
      products_.push_back(
          {std::string(material.name) + "-" + std::string(thing),
           cents * material.percent / 100});
      sum += 1.0 / static_cast<double>(products_.size());
      weights_up_to_.push_back(sum);
    }
  }
}

size_t Catalogue::Draw(Random& random) const {
  const double at = random.Fraction() * weights_up_to_.back();
  const auto it =
      std::upper_bound(weights_up_to_.begin(), weights_up_to_.end(), at);
  return std::min<size_t>(it - weights_up_to_.begin(), products_.size() - 1);
}

}  // namespace vigie::demo
