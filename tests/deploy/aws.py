"""aws.py: an AWS of our own for rehearsing the stack: moto, with what CloudFormation does and moto does not.

Before moto sees a template, the SAM transform is applied, as CloudFormation would. Types that moto does not know get a
name and nothing else: what hangs on them cannot be rehearsed. Prints its URL and serves until stdin ends.
"""

import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

import yaml  # noqa: E402
from moto.cloudformation.models import CloudFormationBackend  # noqa: E402
from moto.core.common_models import CloudFormationModel  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

MANAGED_POLICIES = {
    name: f"arn:aws:iam::aws:policy/{path}{name}"
    for path, name in [("service-role/", "AWSLambdaBasicExecutionRole"), ("", "AWSXRayDaemonWriteAccess")]
}


def named_alone(kind, prefix):
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
        def create_from_cloudformation_json(cls, resource_name, json, account_id, region_name, **rest):
            return cls(f"{prefix}-{rest['LogicalId'].lower()}")

        @classmethod
        def update_from_cloudformation_json(cls, original, new_name, json, account_id, region_name):
            return original

        @classmethod
        def delete_from_cloudformation_json(cls, resource_name, json, account_id, region_name):
            pass

        @classmethod
        def has_cfn_attr(cls, attr):
            return True

        def get_cfn_attribute(self, attribute):
            return f"{self.physical_resource_id}.{attribute}"

    return Named


UNKNOWN_TO_MOTO = [
    named_alone(kind, prefix)
    for kind, prefix in [
        ("AWS::ApiGatewayV2::Api", "api"),
        ("AWS::ApiGatewayV2::Stage", "stage"),
        ("AWS::Lambda::Url", "url"),
        ("AWS::CloudWatch::Alarm", "alarm"),
    ]
]


def transformed(template, parameters):
    document = yaml_parse(template)
    if "Transform" not in document:
        return template
    document.pop("Transform")
    document = Translator(MANAGED_POLICIES, Parser()).translate(document, dict(parameters))
    return yaml.safe_dump(document)


def transforming(method):
    def call(self, *, template, parameters, **rest):
        return method(self, template=transformed(template, parameters), parameters=parameters, **rest)

    return call


def main():
    CloudFormationBackend.create_change_set = transforming(CloudFormationBackend.create_change_set)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
