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
        "plugins": [{"name": "tavus", "plugin-class": "airflow_provider_tavus.plugins.tavus.TavusPlugin"}],
        "config": {
            "tavus": {
                "description": "Callbacks of Tavus, which Airflow's API server receives (Airflow 3.3 and later).",
                "options": {
                    "callback_tokens": {
                        "description": (
                            "What the URL of a callback ends in, at least 32 characters of A-Z, a-z, 0-9, - and _ "
                            "that nobody can guess. Several, separated by commas, are all accepted; the first goes "
                            "into new URLs. Without any, the receiver is off."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": None,
                        "default": "",
                        "sensitive": True,
                    },
                    "callback_base_url": {
                        "description": (
                            "The URL by which Tavus reaches Airflow's API server, without a path that ends in "
                            "/tavus. Default: [api] base_url."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://airflow.example.com",
                        "default": "",
                    },
                    "callback_asset": {
                        "description": (
                            "The name of an asset that a DAG defines. What came in is kept in its state store until "
                            "the triggerer has read it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": None,
                        "default": "tavus_conversations",
                    },
                },
            }
        },
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
