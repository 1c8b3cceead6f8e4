// The part of the contract that the comparison needs, in the form soapcpp2 reads: one operation, document/literal,
// with the caller's name and password in a SOAP header. "ns__" stands for the namespace prefix "ns:".

//gsoap ns service name:	LicenseManagementService
//gsoap ns service namespace:	sosonlinebackup.com
//gsoap ns service style:	document
//gsoap ns service encoding:	literal
//gsoap ns schema namespace:	sosonlinebackup.com
//gsoap ns schema form:	qualified

enum ns__LicenseType { SkraftDiskImageV5, SqlBackup, ExchangeBackup };

class ns__AuthHeader
{ public:
    char *UserName 0;
    char *Password 0;
};

// What soap->header points to. The trailing "_" is not part of the element's name: it keeps the member's name apart
// from its class.
struct SOAP_ENV__Header
{
    ns__AuthHeader *ns__AuthHeader_ 0;
};

class ns__AssignLicenseRequest
{ public:
    char *Username 0;
    int LicenseProviderEntityId 1 = 0;
    enum ns__LicenseType LicenseType 1 = SkraftDiskImageV5;
};

class ns__WebServiceResult
{ public:
    int Result 1;
    char *Code 0;
    char *Message 0;
};

class ns__AssignLicenseResult
{ public:
    ns__WebServiceResult *Result 0;
};

//gsoap ns service method-action:	AssignLicense "sosonlinebackup.com/AssignLicense"
//gsoap ns service method-input-header-part:	AssignLicense ns__AuthHeader_
int ns__AssignLicense(
    ns__AssignLicenseRequest *request,
    struct ns__AssignLicenseResponse { ns__AssignLicenseResult *AssignLicenseResult; } &response);
