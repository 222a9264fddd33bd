// The tables of the blocks held against each other: what one of them lacks is
// told.
#include <gmock/gmock.h>
#include <rocksdb/db.h>

#include "store/day_rows.h"
#include "store/verify.h"
#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::vigie::testing::IsOk;

constexpr int64_t kHourMs = 3'600'000;
constexpr std::string_view kTenant = "default";

// Series 1, 2 and 3 of 2023-11-14 have left; 3 is back on the day after, as 4.
class VerifyIndexTest : public StoreTest {
 protected:
  void SetUp() override {
    Open();
    Append(SeriesNamed("old", "x"), {{clock_.NowMs(), 1}});
    Append(SeriesNamed("old", "y"), {{clock_.NowMs(), 2}});
    ASSERT_THAT(store_->Seal(), IsOk());
    clock_.SetNowMs(kNowMs - 90 * 60'000);
    Append(SeriesNamed("steady", "x"), {{clock_.NowMs(), 3}});
    ASSERT_THAT(store_->Seal(), IsOk());
    clock_.AdvanceMs(4 * kHourMs);
    ASSERT_THAT(store_->Seal(), IsOk());
    Append(SeriesNamed("steady", "x"), {{clock_.NowMs(), 4}});
    ASSERT_THAT(store_->Seal(), IsOk());
  }

  // Takes the rows of `table` away whose keys begin with `prefix`.
  void Remove(std::string_view table, std::string_view prefix) {
    store_.reset();
    const auto blocks = Blocks::Open(directory_.data() + "/blocks",
                                     directory_.data() + "/staging");
    ASSERT_THAT(blocks, IsOk());
    const Blocks::Database database = (*blocks)->database();
    rocksdb::DB& db = *database.db;
    size_t removed = 0;
    for (const auto& family : database.families) {
      if (family->name() != table) continue;
      const std::unique_ptr<rocksdb::Iterator> it(
          db.NewIterator({}, family->handle()));
      for (it->Seek({prefix.data(), prefix.size()});
           it->Valid() && it->key().starts_with({prefix.data(), prefix.size()});
           it->Next()) {
        rocksdb::WriteOptions synced;
        synced.sync = true;
        ASSERT_TRUE(db.Delete(synced, family->handle(), it->key()).ok());
        ++removed;
      }
    }
    ASSERT_GT(removed, 0u) << "nothing was planted";
  }

  std::vector<std::string> Verify() {
    store_.reset();
    std::vector<std::string> found;
    const auto outcome =
        VerifyDirectory(directory_.data(), clock_, {},
                        [&](const std::string& one) { found.push_back(one); });
    EXPECT_THAT(outcome, IsOk());
    EXPECT_EQ(outcome->damages, found.size());
    return found;
  }

  static constexpr int32_t kDay = static_cast<int32_t>(kNowMs / kDayMs);
};

TEST_F(VerifyIndexTest, ASoundStoreIsSoundMergedOrNot) {
  EXPECT_THAT(Verify(), IsEmpty());
  Open();
  ASSERT_THAT(store_->Compact({}), IsOk());
  EXPECT_THAT(Verify(), IsEmpty());
}

TEST_F(VerifyIndexTest, SamplesThatTheIndexOfTheDayDoesNotKnowAreTold) {
  Remove("index", DayTenantPrefix(kDay, kTenant));
  EXPECT_THAT(Verify(),
              AllOf(Contains(HasSubstr("day 2023-11-14: index: tenant default: "
                                       "series 1: no entry, although hot-")),
                    Contains(HasSubstr("series 2: no entry"))));
}

TEST_F(VerifyIndexTest, AndOfMergedDays) {
  ASSERT_THAT(store_->Compact({}), IsOk());
  Remove("index", DayTenantPrefix(kDay, kTenant));
  EXPECT_THAT(Verify(), Contains(HasSubstr("series 2: no entry, although cold "
                                           "has samples of it")));
}

TEST_F(VerifyIndexTest, AnEntryWithoutLabelsIsTold) {
  Remove("index", SeriesRowPrefix(kDay, kTenant, 1));
  EXPECT_THAT(Verify(), Contains(HasSubstr("day 2023-11-14: index: tenant "
                                           "default: series 1: no labels")));
}

TEST_F(VerifyIndexTest, AMissingLabelPairIsTold) {
  Remove("index", PairPrefix(kDay, kTenant, "job", "y"));
  EXPECT_THAT(
      Verify(),
      AllOf(Contains(HasSubstr("series 2: its label pairs are not its labels")),
            Each(HasSubstr("series 2"))));
}

TEST_F(VerifyIndexTest, ARowThatOneTableLacksIsTold) {
  Remove("names", "");
  EXPECT_THAT(Verify(), Contains(HasSubstr("active: series 4: not in table "
                                           "names")));
}

TEST_F(VerifyIndexTest, AndTheOtherWayRound) {
  Remove("active", "");
  EXPECT_THAT(Verify(), Contains(HasSubstr("names: series 4: not in table "
                                           "active")));
}

TEST_F(VerifyIndexTest, ADayThatTheSeriesShouldBeKnownOfIsTold) {
  // What it has on the day before stays.
  Remove("index", PairPrefix(kDay + 1, kTenant, "", ""));
  EXPECT_THAT(Verify(),
              Contains(HasSubstr("day 2023-11-15: index: tenant default: "
                                 "series 4: no entry, although table active")));
}

}  // namespace
}  // namespace vigie::store
