"""Apache Airflow provider for Tavus (https://docs.tavus.io): conversations, their ends and their transcripts."""

__version__ = "0.1.0"
