"""The limits on every input, each with its source."""

# Step Functions: input and output of a state, and the input of StartExecution.
STATE_PAYLOAD_BYTES = 256 * 1024
# What one state may leave for the next: the rest covers the fields around it and the service's own escapes.
STATE_BUDGET_BYTES = 240 * 1024

# Lambda: the event and the answer of a synchronous invocation.
INVOCATION_BYTES = 6 * 1024 * 1024

# An inline Map runs about 40 iterations at a time however high MaxConcurrency is set.
MAX_CONCURRENCY = 40
DEFAULT_CONCURRENCY = 10

# 25,000 history events an execution, 7 for an iteration, 5 more for each retry: 500 portfolios leave room for
# every one of them to be tried eight times.
MAX_PORTFOLIOS = 500
MAX_PERIODS = 32

# A fleet run. A result of eight periods takes 11 to 14.4 KB, the more the less of it is defined: of 16, each still fits
# into its share of the state, so that none of them has to go through S3.
DEFAULT_BATCH_SIZE = 16
# A distributed Map runs 10,000 children at a time; each calculates as many portfolios at a time as it is told. Their
# product is what CalculatePortfolio has to run at once: more small steps side by side take half the time of fewer
# large ones (docs/scale.md).
MAX_CONCURRENT_BATCHES = 10_000
DEFAULT_CONCURRENT_BATCHES = 100
DEFAULT_BATCH_CONCURRENCY = 4
DEFAULT_TOLERATED_FAILURE_PERCENTAGE = 25.0
MAX_MANIFEST_LINE_BYTES = 16 * 1024 * 1024
# What a task gathers is kept in memory up to this, and beyond it on disk.
SPOOLED_BYTES = 16 * 1024 * 1024
MAX_VALUATIONS = 40_000  # a century and a half of days
MAX_CASH_FLOWS = 40_000
FIRST_YEAR, LAST_YEAR = 1900, 2199  # of any date: earlier ones are not on record, later ones are slips
MAX_ID_CHARACTERS = 64
MAX_AMOUNT = 1e15  # float64 keeps a hundredth of it
# Files a request refers to, by what a function of 1,024 MB can read of them (tests/unit/test_memory.py). Of one series:
# 419 bytes for each of its points; as JSON with indents one takes 80.
MAX_SERIES_BYTES = 16 * 1024 * 1024
# Of all portfolios of a request, and of a batch: 500 with 50 bytes for each weekday of ten years.
MAX_PORTFOLIOS_BYTES = 64 * 1024 * 1024
# The rows of such a file, where it is a table: Parquet may have any number of them in few bytes.
MAX_PORTFOLIOS_ROWS = 2_000_000
# One portfolio of such a file, as a line of a manifest.
MAX_PORTFOLIO_BYTES = MAX_MANIFEST_LINE_BYTES
# DynamoDB keeps 38 digits of a number; 34 leave room for what a split multiplies.
MAX_QUANTITY_DIGITS = 34

# A trade may be entered before its day, over a weekend with a holiday; a date in error must not become the latest.
MAX_DAYS_AHEAD = 7

# How long a missing price is carried forward, unless the request says otherwise: the longest closures of a market.
DEFAULT_PRICE_AGE_DAYS = 7
MAX_PRICE_AGE_DAYS = 366
