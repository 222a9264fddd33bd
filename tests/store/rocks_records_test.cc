#include "store/rocks_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

using Rows = std::vector<std::pair<std::string, std::string>>;

class RocksRecordsTest : public ::testing::Test {
 protected:
  RocksRecordsTest()
      : directory_(::testing::TempDir() + "/records." +
                   std::to_string(::getpid())) {
    std::filesystem::remove_all(directory_);
    Reopen();
  }
  ~RocksRecordsTest() override {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Close() {
    records_.reset();
    if (db_ != nullptr) db_->DestroyColumnFamilyHandle(family_);
    db_.reset();
  }
  void Reopen() {
    Close();
    rocksdb::Options options;
    options.create_if_missing = options.create_missing_column_families = true;
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(
        options, directory_,
        {{rocksdb::kDefaultColumnFamilyName, {}}, {"records", {}}}, &handles,
        &db);
    ASSERT_TRUE(status.ok()) << status.ToString();
    db_.reset(db);
    db_->DestroyColumnFamilyHandle(handles[0]);
    family_ = handles[1];
    auto records = RocksRecords::Open(*db_, *family_);
    ASSERT_THAT(records, IsOk());
    records_ = *std::move(records);
  }

  Rows ScanAll(const Tenant& tenant, std::string_view table,
               std::string_view first = "", std::string_view last = "") {
    Rows rows;
    EXPECT_THAT(records_->Scan(tenant, table, first, last,
                               [&](std::string_view key, std::string_view v) {
                                 rows.emplace_back(key, v);
                                 return true;
                               }),
                IsOk());
    return rows;
  }
  void Put(const Tenant& tenant, std::string_view table, std::string_view key,
           std::string_view value) {
    ASSERT_THAT(records_->Write(RecordBatch().Put(tenant, table, key, value)),
                IsOk());
  }

  const Tenant tenant_;
  const std::string directory_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* family_ = nullptr;
  std::unique_ptr<RocksRecords> records_;
};

TEST_F(RocksRecordsTest, GivesBackWhatWasPutUntilItIsDeleted) {
  Put(tenant_, "silences", "k", "v");
  EXPECT_THAT(records_->Get(tenant_, "silences", "k"), IsOk());
  EXPECT_EQ(*records_->Get(tenant_, "silences", "k"), "v");

  ASSERT_THAT(records_->Write(RecordBatch().Delete(tenant_, "silences", "k")),
              IsOk());

  EXPECT_THAT(records_->Get(tenant_, "silences", "k"),
              HasError(absl::StatusCode::kNotFound, HasSubstr("silences")));
}

TEST_F(RocksRecordsTest, ScansInTheOrderOfKeysWithTheLastOneExcluded) {
  for (const char* key : {"c", "a", "b", "ab", ""}) {
    Put(tenant_, "t", key, key);
  }

  EXPECT_THAT(ScanAll(tenant_, "t"),
              ElementsAre(Pair("", ""), Pair("a", "a"), Pair("ab", "ab"),
                          Pair("b", "b"), Pair("c", "c")));
  EXPECT_THAT(ScanAll(tenant_, "t", "ab", "c"),
              ElementsAre(Pair("ab", "ab"), Pair("b", "b")));
  EXPECT_THAT(ScanAll(tenant_, "t", "b", "b"), IsEmpty());
  EXPECT_THAT(ScanAll(tenant_, "t", "c", "a"), IsEmpty());
}

TEST_F(RocksRecordsTest, EndsAScanWhenTheVisitorHasEnough) {
  for (const char* key : {"a", "b", "c"}) Put(tenant_, "t", key, "");
  int visits = 0;

  EXPECT_THAT(records_->Scan(tenant_, "t", "", "",
                             [&](auto, auto) { return ++visits < 2; }),
              IsOk());

  EXPECT_EQ(visits, 2);
}

TEST_F(RocksRecordsTest, AScanSeesOneSnapshot) {
  for (const char* key : {"a", "b", "c"}) Put(tenant_, "t", key, "old");
  std::vector<std::string> values;

  EXPECT_THAT(records_->Scan(tenant_, "t", "", "",
                             [&](auto, std::string_view value) {
                               values.emplace_back(value);
                               Put(tenant_, "t", "c", "new");
                               Put(tenant_, "t", "d", "new");
                               return true;
                             }),
              IsOk());

  EXPECT_THAT(values, ElementsAre("old", "old", "old"));
}

TEST_F(RocksRecordsTest, KeepsTenantsAndTablesApartWhateverTheirNames) {
  const std::string nul("a\0", 2);
  const std::string high(255, '\xff');
  const std::vector<std::string> names = {"a",
                                          "aa",
                                          "\x01",
                                          nul,
                                          "b",
                                          high,
                                          "\xff",
                                          "a\x01"
                                          "a"};
  for (const std::string& tenant : names) {
    for (const std::string& table : names) {
      Put({tenant}, table, "key", tenant + "/" + table);
      Put({tenant}, table, "\xff\xff", "last");
    }
  }

  for (const std::string& tenant : names) {
    for (const std::string& table : names) {
      EXPECT_THAT(ScanAll({tenant}, table),
                  ElementsAre(Pair("key", tenant + "/" + table),
                              Pair("\xff\xff", "last")));
    }
  }
}

TEST_F(RocksRecordsTest, KeepsTheOrderOfHostileKeys) {
  const std::string nul("\0", 1);
  for (const std::string& key :
       {std::string("\xff"), nul + nul, std::string("\xff\xff"), nul,
        std::string(), std::string("\xff") + nul, std::string("\x01")}) {
    Put(tenant_, "t", key, "");
  }

  EXPECT_THAT(ScanAll(tenant_, "t"),
              ElementsAre(Pair("", ""), Pair(nul, ""), Pair(nul + nul, ""),
                          Pair("\x01", ""), Pair("\xff", ""),
                          Pair("\xff" + nul, ""), Pair("\xff\xff", "")));
}

TEST_F(RocksRecordsTest, AppliesABatchInOrderAndAcrossTables) {
  Put(tenant_, "a", "gone", "x");

  ASSERT_THAT(records_->Write(RecordBatch()
                                  .Put(tenant_, "a", "k", "1")
                                  .Put(tenant_, "b", "k", "2")
                                  .Put(tenant_, "a", "k", "3")
                                  .Delete(tenant_, "a", "gone")),
              IsOk());

  EXPECT_THAT(ScanAll(tenant_, "a"), ElementsAre(Pair("k", "3")));
  EXPECT_THAT(ScanAll(tenant_, "b"), ElementsAre(Pair("k", "2")));
}

TEST_F(RocksRecordsTest, ABatchWithOneBadNameChangesNothing) {
  const std::string longest(255, 'n');
  const std::string overlong(256, 'n');
  Put({longest}, longest, "k", "fits");

  for (const auto& [tenant, table] :
       {std::pair<std::string, std::string>{"", "t"},
        {"t", ""},
        {overlong, "t"},
        {"t", overlong}}) {
    EXPECT_THAT(records_->Write(RecordBatch()
                                    .Put(tenant_, "t", "k", "v")
                                    .Put({tenant}, table, "k", "v")),
                HasError(absl::StatusCode::kInvalidArgument,
                         HasSubstr("1 to 255 bytes")));
    EXPECT_THAT(records_->Get({tenant}, table, "k"),
                HasCode(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(ScanAll(tenant_, "t"), IsEmpty());
}

TEST_F(RocksRecordsTest, ABatchIsThereAfterReopening) {
  const std::string bytes("\0\xff", 2);
  Put(tenant_, "t", bytes, bytes);

  Reopen();

  EXPECT_THAT(ScanAll(tenant_, "t"), ElementsAre(Pair(bytes, bytes)));
}

TEST_F(RocksRecordsTest, RefusesAnotherFormatVersionByName) {
  records_.reset();
  ASSERT_TRUE(db_->Put({}, family_, std::string("\0version", 8), "2").ok());

  EXPECT_THAT(RocksRecords::Open(*db_, *family_),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("format version 2")));
}

}  // namespace
}  // namespace vigie::store
