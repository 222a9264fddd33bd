#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "sdk/meter.h"
#include "sdk/otlp/exporter.h"
#include "tests/sdk/fake_otlp_server.h"
#include "tests/support/status_matchers.h"

namespace vigie::sdk {
namespace {

using namespace vigie::testing;  // NOLINT: short doubles

struct Pair {
  std::string key;
  std::string certificate;
};

std::string TextOf(BIO* bio) {
  char* bytes = nullptr;
  const auto size = BIO_get_mem_data(bio, &bytes);
  std::string out(bytes, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

// A certificate for 127.0.0.1, signed by itself, good for an hour.
Pair NewPair() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const x509 = X509_new();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -60);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, key);
  X509_NAME* const name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>("vigie test"), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  for (const auto& [id, value] :
       {std::pair(NID_subject_alt_name, "IP:127.0.0.1"),
        std::pair(NID_basic_constraints, "critical,CA:TRUE")}) {
    X509_EXTENSION* const extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(x509, key, EVP_sha256());
  BIO* const key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  BIO* const x509_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(x509_bio, x509);
  X509_free(x509);
  EVP_PKEY_free(key);
  return {TextOf(key_bio), TextOf(x509_bio)};
}

class TlsTest : public ::testing::Test {
 protected:
  // Flushes once with a try of at most two seconds.
  absl::Status Flush(const OtlpEndpoint& endpoint) {
    ExporterOptions options;
    options.endpoint = endpoint;
    options.endpoint.address = server_.address();
    options.request_age_max = absl::Milliseconds(1);  // one try
    options.on_event = [](std::string_view) {};
    auto exporter = Exporter::Start(options);
    EXPECT_THAT(exporter, IsOk());
    return (*exporter)->Flush(absl::Seconds(60));
  }

  const Pair server_pair_ = NewPair();
  const Pair client_pair_ = NewPair();
  FakeOtlpServer server_{[this] {
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = client_pair_.certificate;
    options.pem_key_cert_pairs = {{server_pair_.key, server_pair_.certificate}};
    return grpc::SslServerCredentials(options);
  }()};
};

TEST_F(TlsTest, SendsToTheServerItTrustsWithItsOwnCertificate) {
  EXPECT_THAT(Flush({.tls = true,
                     .ca = server_pair_.certificate,
                     .key = client_pair_.key,
                     .certificate = client_pair_.certificate}),
              IsOk());
  EXPECT_GE(server_.calls(), 1u);
}

TEST_F(TlsTest, SendsNothingToAServerItDoesNotTrust) {
  EXPECT_THAT(Flush({.tls = true,
                     .ca = client_pair_.certificate,
                     .key = client_pair_.key,
                     .certificate = client_pair_.certificate}),
              HasCode(absl::StatusCode::kDataLoss));
  EXPECT_EQ(server_.calls(), 0u);
}

TEST_F(TlsTest, SendsNothingInPlaintextOrWithoutItsCertificate) {
  EXPECT_THAT(Flush({}), HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Flush({.tls = true, .ca = server_pair_.certificate}),
              HasCode(absl::StatusCode::kDataLoss));
  EXPECT_EQ(server_.calls(), 0u);
}

}  // namespace
}  // namespace vigie::sdk
