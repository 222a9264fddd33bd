// What becomes of an order: it waits for a worker, is paid or not, and the
// customer gets an e-mail. Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "deploy/demo/audience.h"
#include "deploy/demo/backend.h"
#include "deploy/demo/event.h"
#include "deploy/demo/nouns.h"
#include "deploy/demo/random.h"
#include "deploy/demo/timeline.h"

namespace vigie::demo {

struct Order {
  uint64_t number;
  Site site;
  Release release;
  int64_t cents;
  std::vector<OrderLine> lines;
  size_t instance;  // of orders, which took it
  int attempts = 0;
};

class Fulfilment {
 public:
  // All of them outlive it.
  Fulfilment(uint64_t seed, Timeline& timeline, Backend& backend,
             Audience& audience);

  void Take(Order order);

  // `instance` is of orders. Also for what is no order's.
  void Send(EmailKind kind, size_t instance);

  // From now on this share of payments fails at the bank, slowly; in [0, 1].
  void SetErrorShare(double share) { error_share_ = share; }

  size_t orders_waiting() const { return orders_.size(); }
  size_t emails_waiting() const { return emails_.size(); }

 private:
  struct Email {
    EmailKind kind;
    size_t instance;
  };

  void StartPayments();
  void Pay(Order order);
  void Settle(Order order, PaymentOutcome outcome);
  void StartEmails();

  Timeline& timeline_;
  Backend& backend_;
  Audience& audience_;
  Random random_;
  double error_share_ = 0;
  int workers_busy_ = 0;
  int senders_busy_ = 0;
  std::deque<Order> orders_;
  std::deque<Email> emails_;
};

}  // namespace vigie::demo
