#include "deploy/demo/fulfilment.h"

#include <utility>

namespace vigie::demo {
namespace {

constexpr int kWorkers = 12;
constexpr int kSenders = 2;
constexpr double kEmailMeanS = 0.05;

constexpr double kDeclinedShare = 0.04;
// Of those declined: how many have another card.
constexpr double kOtherCardShare = 0.5;
constexpr double kOtherCardMeanS = 4;
// A payment that fails is tried once more.
constexpr int kAttemptsMax = 2;
constexpr double kRetryS = 1;
// What the bank lets one wait for before it gives up.
constexpr double kBankTimeoutS = 1.2;

}  // namespace

Fulfilment::Fulfilment(uint64_t seed, Timeline& timeline, Backend& backend,
                       Audience& audience)
    : timeline_(timeline),
      backend_(backend),
      audience_(audience),
      random_(seed, /*stream=*/2) {}

void Fulfilment::Take(Order order) {
  orders_.push_back(std::move(order));
  StartPayments();
}

void Fulfilment::StartPayments() {
  while (workers_busy_ < kWorkers && !orders_.empty()) {
    Order order = std::move(orders_.front());
    orders_.pop_front();
    Pay(std::move(order));
  }
}

void Fulfilment::Pay(Order order) {
  int status = kRoutes[kPaymentsCreate].statuses[0];
  double wait_s = 0;
  if (random_.Chance(error_share_)) {
    status = kUnavailable;
    wait_s = kBankTimeoutS;
  } else if (random_.Chance(kDeclinedShare)) {
    status = kPaymentRequired;
  }
  const auto answer =
      backend_.Call(kPaymentsCreate, order.release, status, wait_s);
  const PaymentOutcome outcome = answer.ok() ? PaymentOutcome::kAccepted
                                 : answer.status == kPaymentRequired
                                     ? PaymentOutcome::kDeclined
                                     : PaymentOutcome::kError;
  ++order.attempts;
  ++workers_busy_;
  timeline_.After(answer.seconds, [this, order = std::move(order), outcome,
                                   instance = answer.instance] {
    --workers_busy_;
    audience_.Tell(instance, PaymentAttempted{order.number, order.site,
                                              order.release, outcome});
    Settle(order, outcome);
    StartPayments();
  });
}

void Fulfilment::Settle(Order order, PaymentOutcome outcome) {
  if (outcome == PaymentOutcome::kAccepted) {
    audience_.Tell(order.instance, OrderPaid{order.number, order.site,
                                             order.cents, order.lines});
    Send(EmailKind::kOrderConfirmation, order.instance);
    return;
  }
  if (order.attempts < kAttemptsMax) {
    if (outcome == PaymentOutcome::kError) {
      timeline_.After(kRetryS, [this, order] { Take(order); });
      return;
    }
    if (random_.Chance(kOtherCardShare)) {
      timeline_.After(random_.Exponential(kOtherCardMeanS),
                      [this, order] { Take(order); });
      return;
    }
  }
  Send(EmailKind::kPaymentFailed, order.instance);
}

void Fulfilment::Send(EmailKind kind, size_t instance) {
  emails_.push_back({kind, instance});
  StartEmails();
}

void Fulfilment::StartEmails() {
  while (senders_busy_ < kSenders && !emails_.empty()) {
    const Email email = emails_.front();
    emails_.pop_front();
    ++senders_busy_;
    timeline_.After(random_.Exponential(kEmailMeanS), [this, email] {
      --senders_busy_;
      audience_.Tell(email.instance, EmailSent{email.kind});
      StartEmails();
    });
  }
}

}  // namespace vigie::demo
