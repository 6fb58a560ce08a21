"""The chat templates that Xinye gives to a model that has none.

Tools stand at the end of the system message, between <tools> and </tools>. A call is JSON in
<tool_call>, as in the models of Hermes and Qwen. What a tool returned is a message of the role
`tool`.
"""

_TOOLS = r"""
{{ '<tools>\n' }}
{% for tool in tools %}{{ tool | tojson + '\n' }}{% endfor %}
{{ '</tools>' }}
"""
_CALLS = r"""
{% for call in message['tool_calls'] %}
{% if message['content'] or not loop.first %}{{ '\n' }}{% endif %}
{% set arguments = call['function']['arguments'] %}
{{ '<tool_call>\n{"name": ' + call['function']['name'] | tojson + ', "arguments": ' }}
{{ arguments if arguments is string else arguments | tojson }}
{{ '}\n</tool_call>' }}
{% endfor %}
"""
_CHAT = r"""
{{ bos_token }}
{% set role = 'system' %}
{% if tools and (not messages or messages[0]['role'] != role) %}{{ OPENING }}TOOLS{{ CLOSING }}
{% endif %}
{% for message in messages %}
{% set role = message['role'] %}
{{ OPENING }}{{ message['content'] or '' }}
{% if tools and loop.first and role == 'system' %}
{% if message['content'] %}{{ '\n\n' }}{% endif %}TOOLS
{% endif %}
{% if message['tool_calls'] %}CALLS{% endif %}
{{ CLOSING }}
{% endfor %}
{% if add_generation_prompt %}{% set role = 'assistant' %}{{ OPENING }}{% endif %}
"""


def _template(opening: str, closing: str) -> str:
    """A chat template. `opening` and `closing` are the expressions, in Jinja, for the text before
    and after a message; `role` is the message's role.
    """
    text = _CHAT.replace("TOOLS", _TOOLS).replace("CALLS", _CALLS)
    text = text.replace("OPENING", opening).replace("CLOSING", closing)
    return text.replace("\n", "")  # line breaks between tags would be text


CHAT_TEMPLATE = _template(r"'<|im_start|>' + role + '\n'", r"'<|im_end|>\n'")
# CHAT_TEMPLATE before it knew tools. Both write the same texts for messages without tools.
WITHOUT_TOOLS = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{{ "
    "message['content'] }}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}"
)
# For a base model without <|im_start|>: only the token that ends its texts separates messages.
TEMPLATE_OF_TEXTS = _template(r"role + ':\n'", r"eos_token + '\n'")
