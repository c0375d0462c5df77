"""The console: pages that watch executions, on nothing but the Step Functions API."""
