#include "base/net/http_client.h"
namespace vigie::net {}
