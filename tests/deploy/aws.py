"""aws.py RUNTIME: an AWS of our own for rehearsing the stack: moto, with what CloudFormation does and moto does not.

Before moto sees a template, the transforms are applied, as CloudFormation would. A function that is invoked is handed to
the URL RUNTIME, with the bootstrap that was uploaded; what it logs goes to CloudWatch. Types that moto does not know get a
name and nothing else: what hangs on them cannot be rehearsed. Prints its own URL and serves until stdin ends.
"""

import io
import json
import logging
import os
import shutil
import sys
import tempfile
import urllib.request
import warnings
import zipfile

from moto.awslambda.models import LambdaFunction
from moto.cloudformation.models import CloudFormationBackend
from moto.core.common_models import CloudFormationModel
from moto.server import ThreadedMotoServer
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

MANAGED_POLICIES = {
    "AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    "AWSXRayDaemonWriteAccess": "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess",
}


def named_alone(kind):
    """A resource of this type, of which there is nothing but its name."""

    class Named(CloudFormationModel):
        __module__ = "moto.rehearsal.models"  # moto reads the service's name out of it

        def __init__(self, name):
            self.physical_resource_id = name

        @staticmethod
        def cloudformation_name_type():
            return ""

        @staticmethod
        def cloudformation_type():
            return kind

        @classmethod
        def create_from_cloudformation_json(cls, *_, LogicalId, **__):
            return cls(LogicalId.lower())

        @classmethod
        def update_from_cloudformation_json(cls, original_resource, *_, **__):
            return original_resource

        @classmethod
        def delete_from_cloudformation_json(cls, *_, **__):
            pass

        @classmethod
        def has_cfn_attr(cls, attr):
            return True

        def get_cfn_attribute(self, attribute):
            return f"{self.physical_resource_id}.{attribute}"

    return Named


UNKNOWN_TO_MOTO = [
    named_alone(kind)
    for kind in [
        "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::Stage",
        "AWS::CloudWatch::Alarm",
        "AWS::Lambda::Url",
    ]
]


def value_of(expression, parameters, conditions):
    """What a condition or a policy comes to: the part of the language that the template uses there."""
    if not isinstance(expression, dict):
        return expression
    [(operator, rest)] = expression.items()
    if operator == "Ref":
        return parameters[rest]
    if operator == "Condition":
        return value_of(conditions[rest], parameters, conditions)
    if operator == "Fn::If":
        chosen = rest[1] if value_of(conditions[rest[0]], parameters, conditions) else rest[2]
        return value_of(chosen, parameters, conditions)
    values = [value_of(item, parameters, conditions) for item in rest]
    return {
        "Fn::Equals": lambda: values[0] == values[1],
        "Fn::Not": lambda: not values[0],
        "Fn::And": lambda: all(values),
        "Fn::Or": lambda: any(values),
    }[operator]()


def transformed(template, parameters):
    document = yaml_parse(template)
    if "Transform" not in document:
        return template
    document.pop("Transform")
    for resource in document["Resources"].values():
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if policy in resource:
                resource[policy] = value_of(resource[policy], parameters, document.get("Conditions", {}))
    return json.dumps(Translator(MANAGED_POLICIES, Parser()).translate(document, parameters))


def transforming(method):
    def call(self, *, template, parameters, **rest):
        described = yaml_parse(template).get("Parameters", {})
        defaults = {name: str(it["Default"]) for name, it in described.items() if "Default" in it}
        parameters = defaults | dict(parameters)
        return method(self, template=transformed(template, parameters), parameters=parameters, **rest)

    return call


def executing(method):
    """A stack gets parameters, conditions, outputs and exports, which moto's change sets leave out."""

    def call(self, change_set_name, stack_name=None):
        [change_set] = [it for it in self.change_sets.values() if change_set_name in (it.change_set_id, it.change_set_name)]
        stack = self.stacks[change_set.stack_id]
        if change_set.change_set_type == "CREATE":
            stack.template, stack.parameters = change_set.template, change_set.parameters
            stack._parse_template()
            stack.resource_map = stack._create_resource_map()
            change_set.apply = stack.create_resources
        method(self, change_set_name, stack_name)
        stack._parse_template()
        stack.output_map = stack._create_output_map()
        self.exports.update({export.name: export for export in stack.exports})

    return call


def run(function, event, runtime):
    """What the function answers, whether it failed, and its log."""
    folder = tempfile.mkdtemp(prefix="flagcache-function-")
    try:
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as package:
            [info] = package.infolist()
            bootstrap = package.extract(info, folder)
        # Lambda unpacks with the modes that the archive has: one that nobody may execute would not start.
        os.chmod(bootstrap, info.external_attr >> 16)
        call = {
            "name": function.function_name,
            "bootstrap": bootstrap,
            "variables": {name: str(value) for name, value in function.environment_vars.items()},
            "memory": function.memory_size,
            "timeout": function.timeout,
            "event": json.loads(event or "null"),
        }
        request = urllib.request.Request(runtime, data=json.dumps(call).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except Exception as error:  # moto gives no answer at all where this is not caught, and clients wait
        reason = json.dumps({"errorType": "Emulator", "errorMessage": repr(error)})
        return {"answer": reason, "failed": True, "log": []}
    finally:
        shutil.rmtree(folder)


def invoking(runtime):
    def invoke(self, body, request_headers, response_headers):
        invoked = run(self, body, runtime)
        self.save_logs("\n".join(invoked["log"]))
        if invoked["failed"]:
            response_headers["x-amz-function-error"] = "Unhandled"
        return invoked["answer"].encode()

    return invoke


def main():
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    CloudFormationBackend.create_change_set = transforming(CloudFormationBackend.create_change_set)
    CloudFormationBackend.execute_change_set = executing(CloudFormationBackend.execute_change_set)
    LambdaFunction.invoke = invoking(sys.argv[1])
    warnings.simplefilter("ignore")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # By this name moto knows that a template's URL is one of its own.
    print(f"http://localhost:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
