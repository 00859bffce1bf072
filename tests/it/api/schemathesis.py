"""What the test tool does not know of itself: NDJSON is sent as the text that it is."""

import schemathesis

schemathesis.serializer.alias(["application/x-ndjson"], "text/plain")
