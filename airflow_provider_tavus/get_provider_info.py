"""What Airflow is told about this provider. Plain data: Airflow calls this in every process, so it imports nothing."""


def get_provider_info() -> dict[str, object]:
    """Return the provider's metadata, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-tavus",
        "name": "Tavus",
        "description": "`Tavus <https://docs.tavus.io>`__ holds live video conversations of people with AI personas.",
        "integrations": [
            {
                "integration-name": "Tavus",
                "external-doc-url": "https://docs.tavus.io",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "Tavus", "python-modules": ["airflow_provider_tavus.hooks.tavus"]}],
        "operators": [
            {
                "integration-name": "Tavus",
                "python-modules": [
                    "airflow_provider_tavus.operators.collect_conversations",
                    "airflow_provider_tavus.operators.conversation",
                    "airflow_provider_tavus.operators.create_conversation",
                    "airflow_provider_tavus.operators.delete_conversation",
                    "airflow_provider_tavus.operators.end_conversation",
                    "airflow_provider_tavus.operators.forget_conversation",
                    "airflow_provider_tavus.operators.list_conversations",
                ],
            }
        ],
        "sensors": [{"integration-name": "Tavus", "python-modules": ["airflow_provider_tavus.sensors.conversation"]}],
        "triggers": [
            {
                "integration-name": "Tavus",
                "python-modules": [
                    "airflow_provider_tavus.triggers.conversation",
                    "airflow_provider_tavus.triggers.conversation_sensor",
                    "airflow_provider_tavus.triggers.created_conversation",
                    "airflow_provider_tavus.triggers.event",
                ],
            }
        ],
        "extra-links": ["airflow_provider_tavus.links.conversation.ConversationLink"],
        "connection-types": [
            {
                "connection-type": "tavus",
                "hook-class-name": "airflow_provider_tavus.hooks.tavus.TavusHook",
                "hook-name": "Tavus",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {
                        "password": "the key from your Tavus account",
                        "host": "https://tavusapi.com",
                    },
                },
                "conn-fields": {
                    "connect_timeout": {
                        "label": "Connect time-out (s)",
                        "schema": {"type": ["number", "null"], "minimum": 0},
                        "description": "Seconds for making a connection. Default: 10.",
                    },
                    "read_timeout": {
                        "label": "Read time-out (s)",
                        "schema": {"type": ["number", "null"], "minimum": 0},
                        "description": "Seconds for the whole answer, once connected. Default: 30.",
                    },
                    "retries": {
                        "label": "Retries",
                        "schema": {"type": ["integer", "null"], "minimum": 0},
                        "description": "How often a read is repeated after a transient fault. Default: 3.",
                    },
                    "proxy": {
                        "label": "Proxy",
                        "schema": {"type": ["string", "null"], "format": "password"},
                        "description": "URL of an HTTP proxy. Default: what the environment says.",
                    },
                    "ca_bundle": {
                        "label": "CA bundle",
                        "schema": {"type": ["string", "null"]},
                        "description": "Path of a file of CA certificates to trust instead of the usual ones.",
                    },
                    "verify": {
                        "label": "Verify certificates",
                        "schema": {"type": ["boolean", "null"], "default": True},
                        "description": "Whether the server's certificate is checked.",
                    },
                },
            }
        ],
    }
