// What the shop sells: forty products. How often each is bought follows Zipf's
// law, the first far before the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "deploy/demo/random.h"

namespace vigie::demo {

struct Product {
  std::string name;  // a label value: [a-z-]+
  int64_t cents;     // price of one, EUR
};

class Catalogue {
 public:
  Catalogue();

  // Most popular first.
  const std::vector<Product>& products() const { return products_; }

  // Index of a product that somebody takes: rank k with weight 1/k.
  size_t Draw(Random& random) const;

 private:
  std::vector<Product> products_;
  std::vector<double> weights_up_to_;  // cumulative, the last is the sum
};

}  // namespace vigie::demo
