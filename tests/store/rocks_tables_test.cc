// What the tables must stand that RocksDB does on its own account.
#include "store/rocks_tables.h"

#include <gmock/gmock.h>
#include <rocksdb/db.h>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

class RocksTablesTest : public ::testing::Test {
 protected:
  void Open() {
    tables_.reset();
    auto tables = RocksTables::Open(directory_.path() + "/blocks",
                                    directory_.path() + "/staging", nullptr);
    ASSERT_THAT(tables, IsOk());
    tables_ = *std::move(tables);
  }
  // Takes in a file with a row for each letter.
  void TakeIn(std::string_view keys) {
    FileSet files;
    FileWriter writer(*tables_, tables_->at(Table::kExemplars), &files);
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_THAT(writer.Put(keys.substr(i, 1), "value"), IsOk());
    }
    ASSERT_THAT(writer.Finish(), IsOk());
    ASSERT_THAT(files.Ingest(*tables_), IsOk());
  }
  std::string Keys() {
    std::string keys;
    EXPECT_THAT(tables_->Scan(Table::kExemplars, nullptr, "",
                              [&](std::string_view key, std::string_view) {
                                keys += key;
                                return absl::OkStatus();
                              }),
                IsOk());
    return keys;
  }

  TempDirectory directory_{TempDirectory::InMemory()};
  std::unique_ptr<RocksTables> tables_;
};

// Seen in store_churn_test now and then: the start refused the directory.
TEST_F(RocksTablesTest, RowsMayGoBeforeFilesComeAndAreCompacted) {
  Open();
  TakeIn("abdf");
  ASSERT_THAT(tables_->DeleteRows(Table::kExemplars,
                                  [](std::string_view key, std::string_view) {
                                    return key < "c" ? RowFate::kDelete
                                                     : RowFate::kStop;
                                  }),
              IsOk());
  // A reader keeps numbers of rows from being forgotten.
  const rocksdb::Snapshot* reader = tables_->db().GetSnapshot();
  TakeIn("eg");
  // As it happens by itself: of all files, but not of what is in memory.
  const rocksdb::Slice from("c"), to("z");
  const auto status = tables_->db().CompactRange(
      {}, tables_->at(Table::kExemplars)->handle(), &from, &to);
  ASSERT_TRUE(status.ok()) << status.ToString();
  tables_->db().ReleaseSnapshot(reader);

  ASSERT_NO_FATAL_FAILURE(Open());
  EXPECT_EQ(Keys(), "defg");
}

}  // namespace
}  // namespace vigie::store
