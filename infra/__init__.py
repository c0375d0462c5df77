"""The CDK app: what is deployed, and how it is permitted, watched and packaged."""
